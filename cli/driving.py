"""How a run is driven: by what it was begun with and what was set since, which it keeps, and by what is said now."""

from collections.abc import Mapping

from checkpoints.journal import Journal
from checkpoints.records import Run
from cli.asking import ourselves
from cli.errors import CommandRefused
from cli.texts import shown
from engine.pacing.policy import ALL, Policy, changed, in_words, kept, told


def kept_policy(run: Run) -> Policy:
    """The policy that a run keeps. Raises `CommandRefused` where it cannot be read: a limit may be lost with it."""
    try:
        return changed(Policy(), run.policy, ALL)
    except ValueError as error:
        raise CommandRefused(f"run {run.name} keeps a setting that cannot be read: {error}") from error


def policy_of(run: Run, said: Mapping[str, str]) -> Policy:
    """The same with what is `said` now in it, as `Pacing.said` has it."""
    return changed(kept_policy(run), said, ALL)


async def keep(run: Run, policy: Policy, journal: Journal) -> None:
    """Keep it with the run, and note what was changed and by whom."""
    before, now = run.policy, kept(policy)
    if now == before:
        return
    await journal.keep_policy(run, now)
    other = [name for name in ALL if now.get(name) != before.get(name)]
    flags = " ".join(f"--{name} {ALL[name].shown(policy)}" for name in other)
    await journal.note_command(run, ourselves(), f"taken up with {flags}", told(policy, other))


def in_force(run: Run, policy: Policy) -> str:
    """How a run that is taken up is driven, and what of it the run itself has kept; as markup."""
    own = kept(policy)
    of_run = ", ".join(f"{name}={text}" for name, text in run.policy.items() if own.get(name) == text)
    from_run = f" [dim](kept with the run: {shown(of_run)}; a flag or `set` changes that)[/]" if of_run else ""
    return f"[dim]pacing:[/] {shown(in_words(policy), 600)}{from_run}"
