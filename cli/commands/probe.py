"""`probe`: tests undocumented behaviour of a live billing on one test subscriber."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Final

import anyio
import msgspec
import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from billing.directory.subscribers import Abonent
from billing.profile import describe_fact
from checkpoints.journal import open_journal
from cli.commands.execution import execute
from cli.session.session import BillingConnection, open_billing
from cli.settings.flags import Flags, grouped, parse_pairs
from cli.settings.pacing_flags import Pacing, SettleDelay
from cli.settings.profiles import ENDING as PROFILE_ENDING
from cli.settings.profiles import profile_path, write_profile
from cli.settings.settings import Settings
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.screen import Screen, Voice, is_unattended
from cli.terminal.texts import markup_safe, printable
from engine.pacing.policy import ALL, Policy, policy_with
from jobs.access.operations import two_decimals
from jobs.access.subscribers import name_of
from jobs.access.vault import new_batch
from jobs.probe.entries import Entered, ProbeEntries, ProbePatience
from jobs.probe.intent import Intents, open_intents
from jobs.probe.probe import Findings, Probe, steps, test_subscriber
from jobs.spec.entries import STORNO_CALL, UNDO_OF_OPERATIONS
from jobs.spec.parameters import check_parameters
from texts.remedies import PROGRAM

ENDING = ".probe"
"""The suffix of the intent file, which lies beside the profile."""
_NAME = 5
"""Characters in a probe's name."""

app: Final = typer.Typer(add_completion=False)


@app.command("probe")
@grouped
def _probe(
    abonent: Annotated[int, typer.Option("--abonent", min=1, metavar="ID", help="The test subscriber.")],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="storno_call=NAME: the method for storno, to be tried."),
    ] = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Probe without asking.")] = False,
    settle: SettleDelay = None,
    flags: Flags,
    voice: Voice,
) -> None:
    """Ask a live billing what nobody documents of it.

    It asks on one test subscriber, takes back what it enters, and keeps the answers.
    """

    async def work(settings: Settings, screen: Screen) -> Exit:
        seconds = policy_with(Policy(), Pacing(settle=settle).given, ALL).settle
        return await probe(abonent, storno_of(set_ or []), seconds, settings, screen, yes=yes)

    execute(work, flags, voice, failure=lambda code, text: {"abonent": abonent, "exit": int(code), "error": text})


async def probe(
    abonent_id: int, storno_call: str | None, settle: float, settings: Settings, screen: Screen, *, yes: bool
) -> Exit:
    """Show the steps, ask, carry them out, and write the profile.

    Raises `CommandRefused`, `InputRefused`, `LookUpFailed`, `ProbeHeld`, `IntentFailed` and `BillingError`.
    """
    await _check_runs(settings)
    async with open_billing(settings) as billing:
        with open_intents(_intent_path(settings)) as intents:
            if intents.earlier and intents.earlier[0].abonent != abonent_id:
                raise CommandRefused(
                    f"a probe of abonent {intents.earlier[0].abonent} was killed before it had taken back what it "
                    f"entered: first {PROGRAM} probe --abonent {intents.earlier[0].abonent}"
                )
            abonent = await test_subscriber(billing.gateway, abonent_id)
            entries = ProbeEntries(
                billing.gateway, intents, abonent, new_batch()[:_NAME], ProbePatience(settle=settle), storno_call=None
            )
            probing = Probe(entries, storno_call, lambda line: screen.say(f"[dim]·[/] {markup_safe(line)}"))
            if not await _take_back_earlier(probing, entries, intents, settle, screen, yes=yes):
                return _refused(screen)
            balance = await entries.balance()
            screen.say(_plan(abonent, balance, storno_call, settings))
            if not await _agreed("Probe this subscriber?", screen, yes=yes):
                return _refused(screen)
            findings = await probing.run()
        return _close(findings, abonent, billing, settings, screen)


def storno_of(said: Sequence[str]) -> str | None:
    """The storno method to test, None where none is given.

    Raises `CommandRefused`, `ParameterRefused`.
    """
    known = tuple(parameter for parameter in UNDO_OF_OPERATIONS if parameter.name == STORNO_CALL)
    given = parse_pairs(said, "--set")
    values = check_parameters("a probe", known, given)
    return values[STORNO_CALL] if STORNO_CALL in given else None


def _intent_path(settings: Settings) -> Path:
    path = profile_path(settings)
    return path.with_name(path.name.replace(PROFILE_ENDING, ENDING))


async def _check_runs(settings: Settings) -> None:
    """Refuse to probe during a run: its entries could be mistaken for effects of the probe."""
    path = settings.journal.value
    if not await anyio.Path(path).exists():
        return
    async with open_journal(path) as journal:
        for run in await journal.runs():
            if run.target == settings.target and (holder := await journal.holder(run)):
                raise CommandRefused(
                    f"{holder} works on run {run.name} of this billing now: wait for its end, or stop it, "
                    f"{PROGRAM} stop {run.name}"
                )


async def _take_back_earlier(
    probing: Probe, entries: ProbeEntries, intents: Intents, settle: float, screen: Screen, *, yes: bool
) -> bool:
    """Take back what a killed probe has left; returns whether a new probe may begin.

    A call of the killed probe may still arrive: it counts as absent once the settle delay is over and the stacks are
    empty.
    """
    if intents.earlier and (wait := settle - intents.earlier[-1].seconds_ago) > 0:
        screen.say(
            f"[dim]an earlier probe was killed {settle - wait:.0f} s ago: waiting {wait:.0f} s for its calls[/]"
        )
        await anyio.sleep(wait)
    await entries.drained()
    left = await entries.left()
    if left:
        screen.say_always(_leftovers(left))
        if not await _agreed("Take them back?", screen, yes=yes):
            return False
        kept = await probing.take_back_earlier()
        if kept:
            lines = [f"{one}: {why}" for one, why in kept.items()]
            raise CommandRefused(
                "\n".join(["these cannot be taken back: do it by hand, and remove " + str(intents.path), *lines]),
                Exit.UNDECIDED,
            )
    for one in await entries.not_found():
        screen.say_always(
            f"[yellow]note:[/] an operation of {two_decimals(one.amount)}, type {one.op_type}, that an earlier probe "
            f"was about to enter ({one.probe}/{one.number}) is not there: its call never arrived"
        )
    if intents.earlier:
        intents.restart()
    return True


async def _agreed(question: str, screen: Screen, *, yes: bool) -> bool:
    if yes:
        return True
    with screen.keyboard("") as keyboard:
        if keyboard is None:
            raise CommandRefused(is_unattended(question, ""))
        return await screen.agrees(question, keyboard)


def _refused(screen: Screen) -> Exit:
    screen.result("Nothing was entered.", good=False)
    return Exit.REFUSED


# ---- the screen -------------------------------------------------------------------------------------------------


def _plan(abonent: Abonent, balance: Decimal | None, storno_call: str | None, settings: Settings) -> RenderableType:
    head = Text("\nOn abonent ").append(f"{abonent.id} ({printable(name_of(abonent))})", "bold")
    head.append(f" of {printable(settings.target)}, balance {_roubles(balance)}, the probe will:")
    lines = [Text(f"  {number}. {line}") for number, line in enumerate(steps(balance, storno_call), 1)]
    return Group(head, *lines)


def _leftovers(left: Sequence[Entered]) -> RenderableType:
    return Group(
        Text("An earlier probe has left, and they can be taken back:", "yellow"), *(Text(f"  {one}") for one in left)
    )


def _close(
    findings: Findings, abonent: Abonent, billing: BillingConnection, settings: Settings, screen: Screen
) -> Exit:
    profile = findings.profile(
        billing.gateway.profile, settings.target, billing.health.version, datetime.now(UTC).date()
    )
    path = write_profile(settings, profile)
    code = _code(findings)
    if screen.voice.as_json:
        screen.emit(_object(findings, abonent, path, code))
    table = Table.grid(padding=(0, 2))
    for name, fact in profile.facts():
        why = findings.missing.get(name)
        told = describe_fact(name, fact.value) + (f" (not learned: {printable(why)})" if why else "")
        table.add_row("", f"[dim]{fact.standing}[/]", markup_safe(told, 600))
    screen.result(Group(Text(""), table, *_next_steps(findings, path)), good=code is Exit.DONE)
    return code


def _next_steps(findings: Findings, path: Path) -> list[Text]:
    lines = [Text(f"\nThe profile is in {printable(path)}.")]
    if findings.stopped:
        lines.append(Text(f"The probe stopped: {printable(findings.stopped, 600)}", "bold red"))
    for one, why in findings.left.items():
        lines.append(Text(f"Not taken back: {one}: {printable(why)}", "bold red"))
    if findings.left or (findings.stopped and findings.after is None):
        lines.append(Text("Type the same command again: it takes back what it can, or names what it cannot."))
    balances = f"the balance was {_roubles(findings.before)} and is {_roubles(findings.after)}"
    if findings.before == findings.after and not findings.left:
        lines.append(Text(f"All is taken back; {balances}.", "green"))
    else:
        lines.append(Text(f"Look at the subscriber: {balances}.", "bold red"))
    return lines


def _code(findings: Findings) -> Exit:
    if findings.left or findings.before != findings.after:
        return Exit.UNDECIDED
    return Exit.STOPPED if findings.stopped else Exit.DONE


def _object(findings: Findings, abonent: Abonent, path: Path, code: Exit) -> dict[str, object]:
    return {
        "abonent": abonent.id,
        "learned": {name: msgspec.to_builtins(value) for name, value in findings.learned.items()},
        "not_learned": dict(findings.missing),
        "left": [
            {
                "op_id": one.operation.op_id,
                "op_type": one.operation.op_type,
                "amount": two_decimals(one.operation.op_summa),
                "why": why,
            }
            for one, why in findings.left.items()
        ],
        "balance_before": _text(findings.before),
        "balance_after": _text(findings.after),
        "profile": str(path),
        "exit": int(code),
        "error": findings.stopped,
    }


def _roubles(balance: Decimal | None) -> str:
    return "not known" if balance is None else two_decimals(balance)


def _text(balance: Decimal | None) -> str | None:
    return None if balance is None else two_decimals(balance)
