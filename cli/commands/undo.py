"""`undo`: a run that reverses an earlier run."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Final

import typer
from rich.text import Text

from billing.profile import Profile
from checkpoints.journal import Journal
from checkpoints.records import Run, Stage
from checkpoints.states import State
from cli.commands.execution import execute_run
from cli.commands.readers import readers_beside
from cli.session.journal import open_existing, require_content, require_undoable
from cli.session.run_session import RunSession
from cli.session.session import open_session, own_journal
from cli.session.start import create_run
from cli.settings.flags import ChangedDeclaration, Consent, Flags, RunName, grouped, parse_pairs
from cli.settings.pacing_flags import Pacing
from cli.settings.profiles import profile_of
from cli.settings.settings import Settings
from cli.show.closing import Closing, perhaps_in_effect
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.layout import labelled, render
from cli.terminal.screen import Screen, Voice
from jobs.catalogue.catalogue import Catalogue
from jobs.spec.entries import OF_UNPROVEN
from jobs.spec.parameters import check_parameters, contradictions, with_facts
from jobs.spec.spec import JobSpec
from jobs.spec.undo_words import LEAVE, RUN, TAKE, UNDO, UNPROVEN
from jobs.undo import build_undo
from texts.remedies import command_line, setting
from texts.said import counted, said

app: Final = typer.Typer(add_completion=False)


@app.command("undo")
@grouped
def _undo(  # noqa: PLR0913 - each is a flag or a group of them
    name: RunName,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="How it is taken back; repeatable.")
    ] = None,
    *,
    changed_declaration: ChangedDeclaration = False,
    consent: Consent,
    pacing: Pacing,
    flags: Flags,
    voice: Voice,
) -> None:
    """Take a run back; what was changed since is left alone.

    Old values are set again, created entries reversed.
    """

    async def work(settings: Settings, screen: Screen) -> Closing:
        settings = settings.with_changed_declaration(changed_declaration)
        return await undo(name, set_ or [], settings, pacing.given, consent, screen)

    execute_run(work, flags, voice, UNDO)


async def undo(
    name: str, how: Sequence[str], settings: Settings, pacing: Mapping[str, str], consent: Consent, screen: Screen
) -> Closing:
    """Reverse run `name` as far as possible; `how` has options as NAME=VALUE.

    Raises `CommandRefused`, `ParameterRefused`, `InputRefused`, `BillingError` and `JournalError`; nothing was sent
    then.
    """
    async with open_existing(await own_journal(settings)) as journal:
        run = await journal.run(name)
        await _check(run, journal)
        totals = await journal.totals(run)
        if undecided := totals.count(State.MANUAL):
            _note_undecided(run, undecided, screen)
        if perhaps := perhaps_in_effect(totals):
            looked = said("{rows}: each is looked at, and taken back where it has had it", rows=perhaps)
            screen.say_always(labelled(said("note:"), looked, "yellow"))
        way = _options(
            await _kind_of(run, journal, settings.catalogue),
            {name: text for name, text in parse_pairs(how, "--set").items() if name != UNPROVEN},
            profile_of(settings),
            screen,
        )
        way |= await _what_may_be_others(run, journal, parse_pairs(how, "--set"), consent, screen)
        parameters = {RUN: run.name, **way}
        async with open_session(settings, screen, journal, of=run, pacing=pacing, consent=consent) as opened:
            session = replace(opened, readers=readers_beside(settings, screen))
            job = await build_undo(session.gateway, journal, parameters, settings.catalogue)
            if not await journal.in_effect(run, size=1):
                return await _nothing_left(run, journal, screen)
            created = await create_run(job, parameters, session)
            return await RunSession(created, job, session, fresh=True).run()


async def _nothing_left(run: Run, journal: Journal, screen: Screen) -> Closing:
    """Say why there is nothing to take back; no run is made for it."""
    by = tuple(await journal.taken_back(run))
    why = (
        said("run {run} is taken back already, by run {others}.", run=run.name, others=by)
        if by
        else said("run {run} has nothing to take back: none of its rows had an effect.", run=run.name)
    )
    screen.result(Text.assemble(render(why, "bold"), " ", render(said("Nothing was sent."))))
    return Closing(Exit.DONE, job=UNDO)


async def _check(run: Run, journal: Journal) -> None:
    """Refuse a run that is still working, or whose rows are not known any more."""
    await require_content(run, journal)
    if run.stage is Stage.DISCARDED:
        raise CommandRefused(
            said("run {run} was given up before anything was sent: there is nothing to take back", run=run.name)
        )
    if holder := await journal.holder(run):
        raise CommandRefused(
            said(
                "{process} works on run {run} now: stop it first, {command}",
                process=holder.sentence,
                run=run.name,
                command=command_line("stop", run.name),
            )
        )
    await require_undoable(run, journal)


async def _what_may_be_others(
    run: Run, journal: Journal, given: Mapping[str, str], consent: Consent, screen: Screen
) -> dict[str, str]:
    """What becomes of the rows that may be somebody else's, nothing without any: asked, or left alone unless told."""
    if not (unproven := await journal.unproven(run)):
        return {}
    if UNPROVEN in given:
        return check_parameters(said("the undo of {job}", job=run.job), (OF_UNPROVEN,), {UNPROVEN: given[UNPROVEN]})
    found = counted(
        "{n} row of run {run} was found without a mark when its outcome was looked up: it may be another's",
        "{n} rows of run {run} were found without a mark when their outcome was looked up: they may be another's",
        unproven,
        run=run.name,
    )
    with screen.keyboard("") as keyboard:
        if keyboard is not None and not consent.yes:
            question = said("{found}. Take what was found back as well?", found=found)
            return {UNPROVEN: TAKE if await screen.agrees(question, keyboard) else LEAVE}
    left = said(
        "{found}: left alone. To take it back as well, add {flag}",
        found=found,
        flag=setting("set", f"{UNPROVEN}={TAKE}"),
    )
    screen.say_always(labelled(said("note:"), left, "yellow"))
    return {UNPROVEN: LEAVE}


def _note_undecided(run: Run, number: int, screen: Screen) -> None:
    undecided = counted(
        "nobody has decided on {n} row of run {run}: it is not taken back. Decide ({command}), and undo the run once "
        "more",
        "nobody has decided on {n} rows of run {run}: they are not taken back. Decide ({command}), and undo the run "
        "once more",
        number,
        run=run.name,
        command=command_line("reconcile", run.name),
    )
    screen.say_always(labelled(said("note:"), undecided, "yellow"))


async def _kind_of(run: Run, journal: Journal, catalogue: Catalogue) -> JobSpec:
    """The job whose effect is reversed in the end, through any chain of undos."""
    while run.job == UNDO:
        run = await journal.run(run.parameters[RUN])
    return catalogue.of(run)


def _options(wanted: JobSpec, given: Mapping[str, str], profile: Profile, screen: Screen) -> dict[str, str]:
    """The options of the undo: those given, else those that a probe has found."""
    own = wanted.undo_parameters
    for contradiction in contradictions(own, given, profile):
        screen.say_always(labelled(said("note:"), contradiction, "yellow"))
    return check_parameters(said("the undo of {job}", job=wanted.name), own, with_facts(own, given, profile))
