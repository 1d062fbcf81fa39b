"""`jobs check`: tries the jobs of a declaration in the crash lab, and says what it cannot promise of them."""

import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import RenderableType
from rich.text import Text

from cli.commands.selftest import Series, prove
from cli.settings.places import in_full
from cli.settings.settings import OwnJobs
from cli.show.parts import section, stack
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.layout import Hanging, render, steps_list
from cli.terminal.screen import Screen
from cli.terminal.signals import run_command
from cli.terminal.texts import printable
from jobs.promises import NEEDS_A_PERSON, Lack, lacks_of
from jobs.spec.errors import ParameterRefused
from jobs.spec.spec import JobSpec
from texts.remedies import SETTINGS_FILE, command_line
from texts.said import said, text_of

if TYPE_CHECKING:
    from lab.crash.experiment import Experiment
    from lab.crash.trials import Trial

_SEEDS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class CheckedJob:
    """A job of the declaration: what it cannot promise, and its trial, or why the lab has none."""

    spec: JobSpec
    lacks: tuple[Lack, ...]
    trial: "Trial | None"
    untried: str = ""

    @property
    def asks_a_person(self) -> bool:
        """Whether a person has to look into the billing, sooner or later, or nobody has seen the job work."""
        return self.spec.writes and (self.trial is None or any(one.kind in NEEDS_A_PERSON for one in self.lacks))


def check_declaration(file: Path, rounds: int, seed: int | None, rows: int, screen: Screen) -> Exit:
    """Check all jobs of a declaration, and say what is known of them.

    0 if all rounds hold and no job leaves anything to a person, 4 if one does, 1 if a round fails. Raises
    `CommandRefused` for a declaration that cannot be used.
    """
    (declaration,) = OwnJobs((Path.cwd() / in_full(str(file)),), said("the command line")).catalogue.declarations
    if declaration.fault:
        raise CommandRefused(declaration.fault)
    checked = [_checked(spec) for spec in declaration.jobs.values()]
    found = said("{file}, SHA-256 {digest}", file=printable(file), digest=declaration.digest)
    if not screen.voice.as_json:
        screen.result(stack(found, *map(_job_part, checked)))
    first = secrets.randbelow(_SEEDS) if seed is None else seed
    serieses = [
        Series(
            first,
            count_on=True,
            rounds=rounds,
            job=one.spec.name,
            rows=rows,
            own=one.trial,
            declaration=declaration.path,
        )
        for one in checked
        if one.trial is not None
    ]
    done: list[Experiment] = []
    code = Exit.DONE
    if serieses:
        beside = replace(screen, voice=replace(screen.voice, as_json=False))
        code = run_command(lambda: prove(serieses, beside, done=done))
    if code is Exit.DONE and any(one.asks_a_person for one in checked):
        code = Exit.UNDECIDED
    if screen.voice.as_json:
        screen.emit(_object(declaration.path, declaration.digest, checked, done, code))
    elif ending := _ending(code):
        screen.result(ending)
    return code


def _checked(spec: JobSpec) -> CheckedJob:
    from billing.api.client import BillingClient, ClientSettings
    from jobs.access.gateway import Gateway
    from lab.crash.errors import NoTrial
    from lab.crash.trials import trial_of

    # Nothing is asked of this billing: an effect says what it can by itself.
    gateway = Gateway(BillingClient(ClientSettings("http://127.0.0.1:1")))
    try:
        lacks = tuple(lacks_of(spec, gateway))
    except ParameterRefused as error:
        raise CommandRefused("job {name}: {why}", name=spec.name, why=error) from error
    try:
        return CheckedJob(spec, lacks, trial_of(spec))
    except NoTrial as error:
        return CheckedJob(spec, lacks, None, text_of(error))


def _job_part(one: CheckedJob) -> RenderableType:
    doubt, note, good = Text("  ! ", "yellow"), Text("  – "), Text("  ✓ ", "green")
    lines: list[RenderableType] = []
    if one.untried:
        untried = said("not tried in the lab: {reason}", reason=one.untried)
        lines.append(Hanging(doubt if one.spec.writes else note, render(untried)))
    lines += [Hanging(doubt if lack.kind in NEEDS_A_PERSON else note, render(lack.text)) for lack in one.lacks]
    nothing = said("nothing is lacking: it is looked up, repeated, read back and taken back")
    name = Text.assemble((one.spec.name, "bold"), "  ", render(one.spec.summary))
    return section(name, *(lines or [Hanging(good, render(nothing))]))


def _ending(code: Exit) -> RenderableType | None:
    """What can be done with the declaration; None where a round has failed."""
    match code:
        case Exit.DONE:
            sentence = said("it can be used: name it in `jobs` of {file}", file=SETTINGS_FILE)
        case Exit.UNDECIDED:
            sentence = said(
                "it can be used, but not without a person: see the lines with ! above. Name it in `jobs` of {file}",
                file=SETTINGS_FILE,
            )
        case _:
            return None
    return section(render(sentence, "bold"), steps_list([(command_line("jobs"), said("see it among the others"))]))


def _object(
    file: Path, digest: str, checked: "list[CheckedJob]", done: "list[Experiment]", code: Exit
) -> dict[str, object]:
    return {
        "declaration": str(file),
        "sha256": digest,
        "jobs": [
            {
                "name": one.spec.name,
                "cannot": [{"what": lack.kind, "text": lack.text} for lack in one.lacks],
                "untried": one.untried or None,
                "rounds": sum(each.plan.job == one.spec.name for each in done),
                "failed": sum(each.plan.job == one.spec.name and not each.holds for each in done),
            }
            for one in checked
        ],
        "exit": int(code),
    }
