"""The badge of a command: which profile of settings it works by, and whether that is production.

It stands at the head of its screens, in its questions, and in the run, so that who looks at a run later sees it too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from rich.text import Text

from cli.terminal.layout import Facts, render
from texts.said import Said, said

OF_SETTINGS: Final = "input_place.settings_"
"""Begins the parameters of a run that hold the badge, and what it remembers of its billing; like all that begin with
`input_place.`, they say nothing of what the run does, and are kept when it is purged."""
_PROFILE: Final = f"{OF_SETTINGS}profile"
_BILLING: Final = f"{OF_SETTINGS}billing"
_PRODUCTION: Final = f"{OF_SETTINGS}production"
_YES: Final = "yes"

_PRODUCTION_STYLE: Final = "bold white on red"
_OTHER_STYLE: Final = "bold white on green"


@dataclass(frozen=True, slots=True)
class Badge:
    """A profile of settings, as it is shown: its name, the name of its billing, "" for none, and what it is for."""

    profile: str
    billing: str = ""
    production: bool = False

    @property
    def to_type(self) -> str:
        """What is typed to send in production: the name of the billing, else that of the profile."""
        return self.billing or self.profile

    def is_named_by(self, answer: str) -> bool:
        """Whether this is what was to be typed; capitals and the number of spaces do not matter."""
        return answer.casefold().split() == self.to_type.casefold().split()

    @property
    def sentence(self) -> Said:
        """The badge in words, which are the same without colours."""
        if self.production and self.billing:
            return said(
                "PRODUCTION: {billing} (profile of settings: {profile})", billing=self.billing, profile=self.profile
            )
        if self.production:
            return said("PRODUCTION (profile of settings: {profile})", profile=self.profile)
        if self.billing:
            return said("{billing} (profile of settings: {profile})", billing=self.billing, profile=self.profile)
        return said("profile of settings: {profile}", profile=self.profile)

    @property
    def style(self) -> str:
        """The colour of the badge: red for production, green for all others."""
        return _PRODUCTION_STYLE if self.production else _OTHER_STYLE

    @property
    def line(self) -> Text:
        """The badge as the head of a screen."""
        return render(self.sentence, self.style)

    def to_parameters(self) -> dict[str, str]:
        """The badge as parameters of a run."""
        production = {_PRODUCTION: _YES} if self.production else {}
        return {_PROFILE: self.profile, _BILLING: self.billing, **production}

    def as_object(self) -> Mapping[str, object]:
        """The badge for scripts."""
        return {"name": self.profile, "billing": self.billing or None, "production": self.production}


def badge_of(parameters: Mapping[str, str]) -> Badge | None:
    """The badge in the parameters of a run, None for a run without a profile of settings."""
    profile = parameters.get(_PROFILE)
    if not profile:
        return None
    return Badge(profile, parameters.get(_BILLING, ""), parameters.get(_PRODUCTION) == _YES)


def add_badge(table: Facts, parameters: Mapping[str, str]) -> None:
    """Add to the facts of a run the profile of settings that it was begun by, in its colour."""
    if badge := badge_of(parameters):
        table.add(said("settings"), badge.line)


def is_of_badge(parameter: str) -> bool:
    """Whether a parameter of a run belongs to its badge."""
    return parameter.startswith(OF_SETTINGS)


@dataclass(slots=True)
class Heading:
    """What stands at the head of a command's screens; its badge is set once the settings are read."""

    badge: Badge | None = None
