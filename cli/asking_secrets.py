"""`--ask NAME`: a value that nobody should see, typed at the terminal; `ps` does not show it either."""

from collections.abc import Sequence

from cli.errors import CommandRefused
from cli.screen import Screen
from cli.texts import plain

_ONCE_MORE = " once more"


async def asked_for(names: Sequence[str], said: dict[str, str], file: str | None, screen: Screen) -> dict[str, str]:
    """What is said, and what is typed for these names.

    Raises `CommandRefused` for a name that is said already, where nobody can be asked, and for two words that differ.
    """
    values = dict(said)
    with screen.keyboard(file or "") as keyboard:
        for name in names:
            if name in values:
                raise CommandRefused(f"--ask {plain(name)}: it is given already; leave one of the two out")
            if keyboard is None:
                raise CommandRefused(
                    f"nobody is there to ask for {plain(name)}: type the command at a terminal, or let a column of "
                    f"the rows say it, as {plain(name)} in the first line of a file"
                )
            value = await screen.hears(f"{plain(name)}: ", keyboard)
            if not value:
                raise CommandRefused(f"nothing was typed for {plain(name)}: nothing was sent")
            # What nobody sees, nobody sees to be mistyped.
            if value != await screen.hears(f"{plain(name)}{_ONCE_MORE}: ", keyboard):
                raise CommandRefused(f"{plain(name)} was typed in two ways: nothing was sent")
            values[name] = value
    return values
