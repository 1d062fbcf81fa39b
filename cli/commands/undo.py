"""`undo`: a run that reverses an earlier run."""

from collections.abc import Mapping, Sequence
from functools import partial

from rich.text import Text

from checkpoints.journal import Journal
from checkpoints.records import Run, Stage
from checkpoints.states import State
from cli.commands.execution import execute_run
from cli.session.journal import open_existing, require_content, require_undoable
from cli.session.run_session import RunSession, create_run
from cli.session.session import Invocation, open_session, own_journal, profile_of
from cli.settings.flags import CHANGED_DECLARATION, RUN_NAME, Consent, Flags, Pacing, parse_pairs
from cli.show.closing import Closing, perhaps_in_effect
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.layout import labelled, render
from cli.terminal.options import as_command, option
from cli.terminal.screen import Screen, Voice
from jobs.spec.entries import OF_UNPROVEN
from jobs.spec.parameters import check_parameters, contradictions, with_facts
from jobs.spec.words import LEAVE, RUN, TAKE, UNDO, UNPROVEN
from jobs.undo import build_undo
from texts.remedies import command_line, setting
from texts.said import Said, counted, said


@as_command("undo")
def _undo(
    name: str = RUN_NAME,
    set_: list[str] | None = option("NAME=VALUE", "How it is taken back; repeatable.", "--set"),
    *,
    changed_declaration: bool = CHANGED_DECLARATION,
    consent: Consent,
    pacing: Pacing,
    flags: Flags,
    voice: Voice,
) -> None:
    """Take a run back; what was changed since is left alone.

    Old values are set again, created entries reversed.
    """
    how = partial(undo, name, set_ or [])
    execute_run(how, flags, voice, UNDO, consent, pacing, changed_declaration=changed_declaration)


async def undo(name: str, how: Sequence[str], told: Invocation) -> Closing:
    """Reverse run `name` as far as possible; `how` has options as NAME=VALUE."""
    settings, screen, given = told.settings, told.screen, dict(parse_pairs(how, "--set"))
    async with open_existing(await own_journal(settings)) as journal:
        run = await journal.run(name)
        await require_content(run, journal)
        if run.stage is Stage.DISCARDED:
            raise CommandRefused(
                "run {run} was given up before anything was sent: there is nothing to take back", run=run.name
            )
        if holder := await journal.holder(run):
            raise CommandRefused(
                "{process} works on run {run} now: stop it first, {command}",
                process=holder.sentence,
                run=run.name,
                command=command_line("stop", run.name),
            )
        await require_undoable(run, journal)
        totals = await journal.totals(run)
        notes: list[Said] = []
        if undecided := totals.count(State.MANUAL):
            notes.append(
                counted(
                    "nobody has decided on {n} row of run {run}: it is not taken back. Decide ({command}), and undo "
                    "the run once more",
                    "nobody has decided on {n} rows of run {run}: they are not taken back. Decide ({command}), and "
                    "undo the run once more",
                    undecided,
                    run=run.name,
                    command=command_line("reconcile", run.name),
                )
            )
        if perhaps := perhaps_in_effect(totals):
            notes.append(said("{rows}: each is looked at, and taken back where it has had it", rows=perhaps))
        # The job whose effect is reversed in the end, through any chain of undos.
        first = run
        while first.job == UNDO:
            first = await journal.run(first.parameters[RUN])
        wanted, profile = settings.catalogue.of(first), profile_of(settings)
        options = {option: text for option, text in given.items() if option != UNPROVEN}
        for note in (*notes, *contradictions(wanted.undo_parameters, options, profile)):
            screen.say_always(labelled(said("note:"), note, "yellow"))
        # Those given, else those that a probe has found.
        way = check_parameters(
            said("the undo of {job}", job=wanted.name),
            wanted.undo_parameters,
            with_facts(wanted.undo_parameters, options, profile),
        )
        way |= await _what_may_be_others(run, journal, given, told.consent, screen)
        parameters = {RUN: run.name, **way}
        async with open_session(told, journal, of=run) as session:
            job = await build_undo(session.gateway, journal, parameters, settings.catalogue)
            if await journal.in_effect(run, size=1):
                created = await create_run(job, parameters, await session.target(), session)
                return await RunSession(created, job, session, fresh=True).run()
            # No run is made for it.
            why = said("run {run} has nothing to take back: none of its rows had an effect.", run=run.name)
            if by := tuple(await journal.taken_back(run)):
                why = said("run {run} is taken back already, by run {others}.", run=run.name, others=by)
            screen.result(Text.assemble(render(why, "bold"), " ", render(said("Nothing was sent."))))
            return Closing(Exit.DONE, job=UNDO)


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
