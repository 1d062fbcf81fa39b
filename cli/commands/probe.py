"""`probe`: tests undocumented behaviour of a live billing on one test subscriber."""

from datetime import UTC, datetime
from typing import Final

import anyio
import msgspec
from rich.console import Group
from rich.text import Text

from billing.directory.subscribers import Abonent
from billing.money import two_decimals
from billing.profile import Profile, describe_fact
from checkpoints.stores import is_there
from cli.commands.execution import close, with_settings
from cli.session.journal import open_noted, require_unlocked
from cli.session.session import ENDING as PROFILE_ENDING
from cli.session.session import Invocation, open_billing, profile_path, write_profile
from cli.settings.flags import Flags, SettlePacing, parse_pairs
from cli.settings.settings import Settings
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.layout import Hanging, drawn, labelled, render
from cli.terminal.names import STANDING_NAMES
from cli.terminal.options import option, switch
from cli.terminal.screen import Screen, Voice, is_unattended
from cli.terminal.streams import waiting
from cli.terminal.texts import printable
from engine.pacing.policy import ALL, Policy, policy_with
from jobs.access.objects import name_of
from jobs.access.vault import new_batch
from jobs.probe.entries import Entered, Intended, IntendedObject, ProbeEntries, ProbePatience, open_intents
from jobs.probe.probe import Findings, Probe, ProbeObject, ProbeObjects, check_folder, test_subscriber
from jobs.spec.entries import STORNO_CALL, UNDO_OF_OPERATIONS
from jobs.spec.parameters import check_parameters
from texts.said import Said, command_line, in_lines, said

ENDING = ".probe"
"""The suffix of the intent file, which lies beside the profile."""
CREATED = "-created"
"""Ends the name of the other intent file, of the objects of a subscriber that a probe creates."""
_NAME = 5
"""Characters in a probe's name."""
_NOT_KNOWN: Final = said("not known")


@with_settings("probe", SettlePacing, Flags, Voice, about=lambda given: {"abonent": given["abonent"]})
async def _probe(
    told: Invocation,
    abonent: int = option("ID", "The test subscriber.", required=True, least=1),
    set_: list[str] | None = option(
        "NAME=VALUE", "storno_call=NAME: the method for storno, to be tried; repeatable.", "--set"
    ),
    create_in: int | None = option(
        "FOLDER",
        "Learn which fields a create takes: on a subscriber that is created in this folder, and deleted.",
        least=1,
    ),
    *,
    yes: bool = switch("Probe without asking.", "--yes", "-y"),
) -> Exit:
    """Ask a live billing what nobody documents of it.

    It asks on one test subscriber, takes back what it enters, and keeps the answers.
    """
    settings, screen, given = told.settings, told.screen, parse_pairs(set_ or [], "--set")
    known = tuple(parameter for parameter in UNDO_OF_OPERATIONS if parameter.name == STORNO_CALL)
    values = check_parameters(said("a probe"), known, given)
    storno_call = values[STORNO_CALL] if STORNO_CALL in given else None
    patience = ProbePatience(settle=policy_with(Policy(), told.pacing.given, ALL).settle)
    where = settings.journal.value
    if await anyio.to_thread.run_sync(is_there, where):
        async with open_noted(where) as journal:
            for run in await journal.runs():
                # Its entries could be mistaken for effects of the probe.
                if run.target == settings.target:
                    await require_unlocked(run, journal)
    profile = profile_path(settings)
    path = profile.with_name(profile.name.replace(PROFILE_ENDING, ENDING))
    async with open_billing(settings) as billing:
        gateway = billing.gateway
        with (
            open_intents(path, Intended) as intents,
            open_intents(path.with_name(path.name + CREATED), IntendedObject) as created,
        ):
            if intents.earlier and (earlier := intents.earlier[0].abonent) != abonent:
                raise CommandRefused(
                    "a probe of abonent {abonent} was killed before it had taken back what it entered: first "
                    "{command}",
                    abonent=earlier,
                    command=command_line("probe", "--abonent", str(earlier)),
                )
            tested = await test_subscriber(gateway, abonent)
            if create_in is not None:
                await check_folder(gateway, create_in)
            name, receipt = new_batch()[:_NAME], gateway.profile.receipt_type.value
            entries = ProbeEntries(gateway, intents, name, patience, abonent=tested, receipt_type=receipt)
            objects = ProbeObjects(gateway, created, name, patience, folder=create_in or 0)
            asked = objects if create_in is not None else None

            def tell(line: str) -> None:
                screen.say(Hanging(Text("· ", "dim"), render(line)))

            probing = Probe(entries, storno_call, tell, asked)
            agreed = await _clean_up(entries, screen, yes=yes) and await _clean_up(objects, screen, yes=yes)
            if agreed:
                balance = await entries.balance()
                head = said(
                    "On abonent {abonent} ({name}) of {address}, balance {balance}, the probe will:",
                    abonent=tested.id,
                    name=printable(name_of(tested)),
                    address=settings.target,
                    balance=_NOT_KNOWN if balance is None else balance,
                )
                steps = enumerate(probing.steps(balance), 1)
                lines = [Hanging(Text(f"  {number}. "), render(step.sentence)) for number, step in steps]
                screen.say(Group(Text(""), render(head), *lines))
                agreed = await _agreed(said("Probe this subscriber?"), screen, yes=yes)
            if not agreed:
                screen.result(said("Nothing was entered."), good=False)
                return Exit.REFUSED
            with waiting(said("probing")):
                findings = await probing.run()
        version, today = billing.health.version, datetime.now(UTC).date()
        return _end(
            findings, findings.profile(gateway.profile, settings.target, version, today), tested, settings, screen
        )


async def _clean_up(traces: ProbeEntries | ProbeObjects, screen: Screen, *, yes: bool) -> bool:
    """Take back what a killed probe has left; returns whether a new probe may begin.

    A call of the killed probe may still arrive: it counts as absent once the settle delay is over and the stacks are
    empty. It is waited for whole: when the other process ended, only a clock tells that may be set.
    """
    if traces.intents.earlier:
        settle = traces.patience.settle
        why = said("an earlier probe was killed: waiting {wait} s for its calls", wait=round(settle))
        screen.say(render(why, "dim"))
        with waiting(said("waiting for the calls of an earlier probe"), most=settle):
            await anyio.sleep(settle)
    if isinstance(traces, ProbeEntries):
        with waiting(said("waiting for the billing to apply what an earlier probe sent")):
            await traces.drained()
    if left := await traces.left():
        head = render(said("An earlier probe has left, and they can be taken back:"), "yellow")
        screen.say_always(Group(head, *(Text(f"  {printable(str(one))}") for one in left)))
        if not await _agreed(said("Take them back?"), screen, yes=yes):
            return False
        kept: list[Said] = []
        async for one, reason in traces.take_all_back():
            if reason is not None:
                kept.append(said("{entry}: {why}", entry=str(one), why=reason))
            else:
                screen.say(labelled("·", said("taken back: {operation}", operation=str(one))))
        if kept:
            by_hand = said("these cannot be taken back: do it by hand, and remove {file}", file=traces.intents.path)
            raise CommandRefused(in_lines([by_hand, *kept]), Exit.UNDECIDED)
    for absent in await traces.not_found() if isinstance(traces, ProbeEntries) else ():
        never = said(
            "an operation of {amount}, type {type}, that an earlier probe was about to enter ({mark}) is not there: "
            "its call never arrived",
            amount=absent.amount,
            type=absent.op_type,
            mark=f"{absent.probe}/{absent.number}",
        )
        screen.say_always(labelled(said("note:"), never, "yellow"))
    if traces.intents.earlier:
        traces.intents.restart()
    return True


async def _agreed(question: Said, screen: Screen, *, yes: bool) -> bool:
    return yes or await screen.agrees(question, CommandRefused(is_unattended(question, "")), to_send=True)


def _end(findings: Findings, profile: Profile, abonent: Abonent, settings: Settings, screen: Screen) -> Exit:
    path, before, after = write_profile(settings, profile), findings.before, findings.after
    as_before = before == after and not findings.left
    left = [
        {
            "op_id": one.operation.op_id,
            "op_type": one.operation.op_type,
            "amount": two_decimals(one.operation.op_summa),
            "why": why,
        }
        for one, why in findings.of(Entered).items()
    ]
    created = [
        {"model": one.model, "id": one.id, "contract_number": one.name, "why": why}
        for one, why in findings.of(ProbeObject).items()
    ]
    facts = {
        "abonent": abonent.id,
        "learned": {name: msgspec.to_builtins(value) for name, value in findings.learned.items()},
        "not_learned": dict(findings.missing),
        "left": left,
        "created_left": created,
        "balance_before": None if before is None else two_decimals(before),
        "balance_after": None if after is None else two_decimals(after),
        "profile": str(path),
        "error": findings.stopped,
    }
    told = {"profile": profile, "found": findings, "path": path, "good": as_before, "describe": describe_fact}
    told["balances"] = {
        "before": _NOT_KNOWN if before is None else before,
        "after": _NOT_KNOWN if after is None else after,
    }
    code = Exit.UNDECIDED if not as_before else Exit.STOPPED if findings.stopped else Exit.DONE
    return close(screen, code, drawn("probe.j2", STANDING_NAMES=STANDING_NAMES, **told), facts)
