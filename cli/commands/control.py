"""`pause`, `continue`, `set`, `get`, `stop`, `close`, `decide`: what a person does to a run through its journal."""

from typing import Final

import anyio
import structlog
from rich.text import Text

from billing.api.answers import created_id
from billing.directory.models import LARGEST_ID
from checkpoints.errors import ForbiddenTransition
from checkpoints.journal import Journal
from checkpoints.records import Item, Run
from checkpoints.states import State
from cli.commands.execution import close, with_settings
from cli.session.control_client import by_flag, give, heard, resume_command, unreachable
from cli.session.journal import chosen_run, ended_for_good, locked, ourselves, own_name, refuse_ended, usable_run
from cli.session.order import wipe_secrets
from cli.session.run_view import ended_facts, holds_its_file, is_followed
from cli.settings.flags import RUN_NAME, RUN_NAME_OR_NONE, JournalFlags, parse_pairs
from cli.show.closing import outcome_table, perhaps_in_effect, states_object, steps_after, steps_of
from cli.terminal.exits import CommandRefused, Exit, exit_of
from cli.terminal.layout import labelled, render, stack, steps_list, with_commands
from cli.terminal.names import STATE_NAMES
from cli.terminal.options import argument, option, switch
from cli.terminal.screen import BriefVoice, JsonVoice, Screen
from cli.terminal.streams import waiting
from cli.terminal.texts import moment, printable
from engine.pacing.holds import StopKind
from engine.pipeline.control import NOW, ControlAnswer, ControlRequest
from jobs.access.payload import payload_of
from jobs.runs import in_doubt, unfinished
from jobs.spec.words import IMPORT
from texts.said import PROGRAM, command_line, counted, name_of_sender, said, setting

log = structlog.get_logger(__name__)

GLANCE: Final = 0.1
"""Seconds between two checks whether a run that was asked to stop has ended."""

CHOICES: Final = (State.ACCEPTED, State.PENDING)
"""States that a person can choose: the row is in the billing, or it is not and is sent again."""


# ---- a working run ------------------------------------------------------------------------------------------------


@with_settings("pause", JournalFlags, BriefVoice)
async def _pause(journal: Journal, screen: Screen, name: str | None = RUN_NAME_OR_NONE) -> Exit:
    """Send nothing more until `continue`, also after a restart.

    What is in flight is finished. Without a name, the only run that is not at its end.
    """
    return await _give(ControlRequest("pause"), name, journal, screen)


@with_settings("continue", JournalFlags, BriefVoice)
async def _continue(
    journal: Journal,
    screen: Screen,
    name: str | None = RUN_NAME_OR_NONE,
    *,
    now: bool = switch("End waits for a billing that is away or busy too; rows in doubt wait on."),
) -> Exit:
    """Let a paused run go on."""
    return await _give(ControlRequest("continue", {NOW: "yes"} if now else {}), name, journal, screen)


@with_settings("set", JournalFlags, BriefVoice)
async def _set(
    journal: Journal,
    screen: Screen,
    name: str | None = RUN_NAME_OR_NONE,
    changes: list[str] | None = argument("NAME=VALUE…", f"As `{PROGRAM} get` lists them: rate=20.", required=False),
) -> Exit:
    """Change how hard a working run drives the billing.

    All that is named is changed, or nothing where one is wrong. Without RUN, the only run that is worked on.
    """
    words = [*([name] if name else []), *(changes or [])]
    run = words.pop(0) if words and "=" not in words[0] else None
    if not words:
        raise CommandRefused(said("nothing is named that is to be set"))
    wanted = {name: text.strip() for name, text in parse_pairs(words, "set", example="rate=20").items()}
    return await _give(ControlRequest("set", wanted), run, journal, screen)


async def _give(request: ControlRequest, name: str | None, journal: Journal, screen: Screen) -> Exit:
    run = await chosen_run(name, journal, request.command, is_open=True)
    return _show_answer(run, request.command, await give(request, run, journal), screen)


def _show_answer(run: Run, command: str, answer: ControlAnswer, screen: Screen) -> Exit:
    sentence = said("run {run}: {answer}", run=run.name, answer=answer.said)
    if answer.refused:
        raise CommandRefused(sentence)
    if screen.voice.as_json:
        screen.emit({"run": run.name, "command": command, "said": answer.said, "exit": int(Exit.DONE)})
    elif answer.said:
        screen.result(with_commands(sentence))
    return Exit.DONE


@with_settings("get", JournalFlags, JsonVoice, reads=True)
async def _get(journal: Journal, screen: Screen, name: str | None = RUN_NAME_OR_NONE) -> Exit:
    """Show what can be set on a working run, and what it is now."""
    run = await chosen_run(name, journal, "get", is_open=True)
    holder, row = await journal.holder(run), await journal.mailbox.live(run)
    if holder is None or row is None:
        raise await unreachable(run, journal, said("there is nothing to get"), by_flag(run))
    live, silent = heard(row)
    if live is None:
        raise CommandRefused(
            said("run {run} ({holder}): {why}", run=run.name, holder=holder.sentence, why=silent or ""),
            Exit.STOPPED,
        )
    found = {"run": run.name, "command": "get", "said": "", "settings": dict(live.settings)}
    if screen.voice.as_json:
        screen.emit({**found, "exit": int(Exit.DONE)})
        return Exit.DONE
    for one, value in live.settings.items():
        screen.out.print(Text(f"{printable(one)}=", "dim").append(printable(value), "bold"))
    return Exit.DONE


@with_settings("stop", JournalFlags, BriefVoice)
async def _stop(
    journal: Journal,
    screen: Screen,
    name: str | None = RUN_NAME_OR_NONE,
    *,
    no_wait: bool = switch("Do not wait until it has ended."),
) -> Exit:
    """Stop a run as Ctrl-C would; `resume` goes on.

    What is in flight is finished, and the run's process ends with 130.
    """
    run = await chosen_run(name, journal, "stop", is_open=True)
    is_held = await journal.holder(run) is not None
    answer = await give(ControlRequest("stop"), run, journal)
    if answer.refused or no_wait or not is_held:
        return _show_answer(run, "stop", answer, screen)
    stops = said(
        "run {run}: {answer}; its process ends with {code}",
        run=run.name,
        answer=answer.said,
        code=int(Exit.INTERRUPTED),
    )
    waits = render(said("(Ctrl-C here ends the waiting, not the stop)"), "dim")
    screen.say(render(stops).append(" ").append_text(waits))
    with waiting(said("waiting for the end of run {run}", run=run.name)):
        while await journal.holder(run):  # noqa: ASYNC110 - the end of another process gives no event
            await anyio.sleep(GLANCE)
    run = await journal.run(run.name)
    totals = await journal.totals(run)
    is_stopped = exit_of(totals, StopKind.INTERRUPTED, intake_ended=run.frozen_at is not None) is Exit.INTERRUPTED
    if is_stopped:
        title = said("run {run} has stopped", run=run.name)
    elif is_followed(run):
        # The step had already finished: the stop ends its job file.
        title = said("run {run} is at its end, and no further step of its job file begins", run=run.name)
    else:
        title = said("run {run} came to its end before it could be stopped", run=run.name)
    paused, goes_on = None, list[tuple[str, str]]()
    if run.paused_at is not None and (is_stopped or holds_its_file(run)):
        who = name_of_sender(run.paused_by or "")
        paused = said("It stays paused, as {who} wanted it at {when}.", who=who, when=moment(run.paused_at))
        goes_on.append((command_line("continue", run.name), said("end the pause")))
    if not is_stopped and is_followed(run):
        goes_on.append((await resume_command(run, journal), said("go on with its next step")))
    shown = stack(
        Text(f"■ {printable(title)}", "bold"),
        outcome_table(run, totals, await steps_of(run, journal)),
        render(paused, "yellow") if paused else None,
        steps_list(goes_on + await steps_after(run, totals, journal)),
    )
    return close(screen, Exit.DONE, shown, {"run": run.name, "command": "stop", **states_object(totals)})


# ---- `close` ------------------------------------------------------------------------------------------------------


@with_settings("close", JournalFlags, BriefVoice)
async def _close(
    journal: Journal,
    screen: Screen,
    name: str = RUN_NAME,
    *,
    reason: str = option("TEXT", "The reason, kept in the journal with your name.", required=True),
) -> Exit:
    """End a stopped run for good: what was not sent never is.

    What is in the billing stays and counts. Rows in doubt are to be settled first.
    """
    if not (why := reason.strip()):
        raise CommandRefused(said("a run is closed for a reason: --reason 'the file was that of October'"))
    run = await usable_run(name, journal, "close")
    async with locked(run, journal, "close") as ours:
        totals = await journal.totals(ours)
        refuse_ended(ours, totals)
        if not await unfinished(ours, journal):
            raise CommandRefused("run {run} is at its end: there is nothing to close", run=run.name)
        if doubtful := totals.count_where(open=True, counts_money=True):
            raise CommandRefused(in_doubt(ours, doubtful))
        if ours.approved_at is None:
            # Nobody has said yes to it: there is nothing to keep.
            await journal.discard(ours)
        else:
            await journal.end(ours, own_name(), why)
        await wipe_secrets(ours, journal)
    await journal.history.note_command(run, ourselves(), "close", why)
    run = await journal.run(run.name)
    totals = await journal.totals(run)
    log.info("closed", run=run.name, why=run.ended_why, unsent=totals.unsent)
    facts = {"run": run.name, "job": run.job, **states_object(totals), "ended": ended_facts(run)}
    if (ended := ended_for_good(run, totals)) is None:
        given_up = said("✓ run {run} is given up: nothing of it was sent", run=run.name)
        return close(screen, Exit.DONE, render(given_up, "green"), facts)
    left = counted(
        "{n} row[s] still [waits|wait] for a person to decide whether [it is|they are] in the billing",
        totals.count(State.MANUAL),
    )
    notes = [left if left.n else "", perhaps_in_effect(totals)]
    shown = stack(
        Text.assemble("✓ ", render(ended, limit=600), style="green"),
        outcome_table(run, totals, await steps_of(run, journal)),
        *(labelled(said("note:"), note, "yellow") for note in notes if note),
        steps_list(await steps_after(run, totals, journal)),
    )
    return close(screen, Exit.DONE, shown, facts)


# ---- `decide` -----------------------------------------------------------------------------------------------------


@with_settings("decide", JournalFlags, BriefVoice)
async def _decide(
    journal: Journal,
    screen: Screen,
    name: str = argument("RUN", "The run, or the row as it is printed: k7m2q/12."),
    key: str = argument("KEY", "The row: its key or contract number; left out after k7m2q/12."),
    choice: str | None = argument(
        "accepted|pending", "It is in the billing, or it is not and goes again.", required=False
    ),
    *,
    why: str = option("TEXT", "The reason, kept in the journal with your name.", required=True),
    new_id: str | None = option("ID", "The id in the billing of what an accepted row created.", "--id"),
) -> Exit:
    """Record a person's decision on a row that no look-up can settle."""
    run_name = name.partition("/")[0]
    row, chosen = (name, key) if choice is None else (key, choice)
    if chosen not in CHOICES:
        raise CommandRefused(
            "{given} is no decision: accepted (it is in the billing) or pending (it is not, send it again)",
            given=printable(chosen),
        )
    if not why.strip():
        raise CommandRefused(said("a decision needs its reason: --why 'seen in the billing by Olga, operation 4711'"))
    run, state, who = await journal.run(run_name), State(chosen), own_name()
    item = await _matching_row(run, row, journal)
    answer = await _id_of(run, item, state, new_id, screen)
    try:
        async with locked(run, journal, "decide") as ours:
            await journal.decide(ours, item, state, who=who, why=why.strip(), answer=answer)
    except ForbiddenTransition:
        raise CommandRefused(
            "row {number} of run {run} is {state}: a person decides only on what is manual. {command} looks "
            "up what is unknown",
            number=item.number,
            run=run.name,
            state=STATE_NAMES[item.state],
            command=command_line("reconcile", run.name),
        ) from None
    log.info("decided", run=run.name, item=item.number, state=chosen, who=who, why=why.strip())
    totals = await journal.totals(run)
    decided = said(
        "✓ row {number} ({label}) is {state}",
        number=item.number,
        label=printable(item.label, 60),
        state=STATE_NAMES[state],
    )
    shown = stack(render(decided, "green"), steps_list(await steps_after(run, totals, journal)))
    return close(screen, Exit.DONE, shown, {"run": run.name, "job": run.job, **states_object(totals)})


async def _matching_row(run: Run, key: str, journal: Journal) -> Item:
    """The row as it is printed, by its number; or the one with this key or label, and no other reading of it."""
    number = key.removeprefix(f"{run.name}/")
    by_number = number != key and number.isdecimal()
    found = [
        item
        for item in await journal.find(run, number if by_number else key)
        if (str(item.number) == number if by_number else key in {item.key, item.label})
    ]
    if not found:
        raise CommandRefused(
            "run {run} has no row {key}: give its key, its contract number, or the row as it is printed, {row}",
            run=run.name,
            key=printable(key),
            row=f"{run.name}/{key if key.isdecimal() else 12}",
        )
    if len(found) > 1:
        raise CommandRefused(
            "{key} may be any of the rows {rows}: give the one that is meant as it stands here",
            key=printable(key),
            rows=tuple(f"{run.name}/{item.number}" for item in found),
        )
    return found[0]


async def _id_of(run: Run, item: Item, state: State, given: str | None, screen: Screen) -> str | None:
    """The id of what an accepted row has created; asked for where other rows need it. Raises `CommandRefused`."""
    if state is not State.ACCEPTED:
        if given is not None:
            raise CommandRefused(said("--id is for a row that is accepted"))
        return None
    if given is None:
        if run.job != IMPORT or not payload_of(item).creates_subscriber:
            return None
        whose = said("the id of {label} in the billing", label=printable(item.label, 60))
        flag = setting("id", "4711")
        unasked = CommandRefused("other rows of the run need {what}: add {flag}", what=whose, flag=flag)
        given = await screen.chooses(said("What is {what}?", what=whose), unasked)
    found = created_id(given.strip())
    if found is None or int(found) > LARGEST_ID:
        raise CommandRefused("{given} is no id of the billing", given=printable(given) or "–")
    return found
