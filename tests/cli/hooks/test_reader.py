"""When hooks are called: each event once, a hold once it has lasted, a ping every minute, and all is noted."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import anyio
import msgspec
import pytest
from aioresponses import CallbackResult, aioresponses

from billing.secret import Secret
from checkpoints.errors import JournalError
from checkpoints.journal import Journal
from checkpoints.records import Run, Totals
from checkpoints.states import State
from cli.hooks.reader import PING_EVERY, RETURNS, call_hooks
from cli.session.events import Held, HoldEnded, LiveRun, NeedsPerson, RunBegan, RunEnded, RunReader
from cli.settings.tables import Hook, HookEvent, HookSettings
from cli.show.closing import Closing
from cli.terminal.exits import Exit
from cli.terminal.language import language
from cli.terminal.screen import OutputMask
from engine.pipeline.progress import Progress
from tests.virtual_clock import run as on_virtual_clock
from tests.virtual_clock import settle

URL = "https://hooks.example.org/told"
PING = "https://hooks.example.org/ping"
HOOK = Hook("https://hooks.example.org", url=Secret(URL))
ALL = HookSettings(dict.fromkeys(HookEvent, HOOK))
ENDED = RunEnded(Closing(Exit.REJECTED, "k7m2q", "balances", Totals(counts={State.ACCEPTED: 3, State.REJECTED: 1})))


class History:
    """Keeps the notes of a run in memory, or cannot."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, str]] = []
        self.fails = False

    async def note_command(self, _run: Run, _who: str, command: str, answer: str) -> None:
        if self.fails:
            raise JournalError("the disk is full")
        self.notes.append((command, answer))


@dataclass
class InMemory:
    """As much of a journal as a hook needs, for there is no thread on a virtual clock."""

    history: History = field(default_factory=History)
    path: Path = Path("/var/lib/loads.journal")
    name: str = "/var/lib/loads.journal"


@dataclass
class Told:
    """What the addresses were told and when, in seconds since the run began."""

    journal: InMemory = field(default_factory=InMemory)
    messages: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    pings: list[float] = field(default_factory=list)
    status: int = 200
    pings_taken: Callable[[int], bool] = lambda _: True

    @property
    def events(self) -> list[tuple[float, str]]:
        return [(when, message["event"]) for when, message in self.messages]


NOW = datetime(2026, 11, 26, tzinfo=UTC)
RUN = Run(1, "k7m2q", "balances", {}, "http://billing:8082", "balances.csv", "", (), None, NOW, None, None, None)


def tell(
    course: Callable[[RunReader], Awaitable[None]],
    settings: HookSettings = ALL,
    told: Told | None = None,
    *,
    secrets: Sequence[str] = (),
    lang: str = "en",
) -> Told:
    """Let a run take this course beside its hooks, on a virtual clock."""
    found = told or Told()
    mask = OutputMask()
    mask.hide(secrets)

    async def work() -> None:
        began = anyio.current_time()

        def heard(_url: object, **sent: Any) -> CallbackResult:
            found.messages.append((anyio.current_time() - began, msgspec.json.decode(sent["data"])))
            return CallbackResult(status=found.status)

        def pinged(_url: object, **_: object) -> CallbackResult:
            found.pings.append(anyio.current_time() - began)
            return CallbackResult(status=200 if found.pings_taken(len(found.pings)) else 503)

        live = LiveRun(RUN, cast("Journal", found.journal), Progress().status)
        with aioresponses() as web:
            web.post(URL, callback=heard, repeat=True)
            web.get(PING, callback=pinged, repeat=True)
            reader = call_hooks(settings, language(lang), mask)(live)
            assert reader is not None
            async with anyio.create_task_group() as group:
                group.start_soon(reader.follow)
                await settle()
                await course(reader)

    on_virtual_clock(work())
    return found


async def whole(reader: RunReader) -> None:
    reader.hear(RunBegan(Totals(counts={State.PENDING: 4}), taken_up=False))
    await anyio.sleep(5)
    reader.hear(NeedsPerson(1, "1 row waits for your decision", ["carbon-migrate reconcile k7m2q"]))
    reader.hear(ENDED)


def test_each_event_is_told_when_it_happens_and_noted() -> None:
    found = tell(whole)
    assert found.events == [(0, "on-start"), (5, "on-person"), (5, "on-end")]
    assert found.journal.history.notes == [
        (f"{event} https://hooks.example.org", "taken") for event in ("on-start", "on-person", "on-end")
    ]

    # What a message is about, to people and to scripts.
    start, person, end = (message for _, message in found.messages)
    for message in (start, person, end):
        assert (message["run"], message["job"], message["billing"]) == ("k7m2q", "balances", "http://billing:8082")
        assert message["job_file"] is None
    assert start["states"] == {"pending": 4}
    assert start["text"] == "run k7m2q (balances) begins: 4 rows to send"
    assert person["commands"] == ["carbon-migrate reconcile k7m2q"]
    assert (end["exit"], end["states"]) == (1, {"accepted": 3, "rejected": 1})
    assert end["text"] == "run k7m2q (balances) has ended: exit code 1; accepted 3, rejected 1"


def test_the_sentence_is_in_the_language_of_the_settings_and_all_else_is_not() -> None:
    english, russian = (tell(whole, lang=lang).messages for lang in ("en", "ru"))
    for (_, one), (_, other) in zip(english, russian, strict=True):
        assert one["text"] != other["text"]
        assert {**one, "text": "", "at": ""} == {**other, "text": "", "at": ""}


@pytest.mark.parametrize(("lasts", "told"), [(59, []), (61, [(60, "on-hold")]), (600, [(60, "on-hold")])])
def test_a_hold_is_told_once_when_it_has_lasted(lasts: float, told: list[tuple[float, str]]) -> None:
    async def held(reader: RunReader) -> None:
        reader.hear(Held("billing", "the billing is away"))
        await anyio.sleep(lasts)
        reader.hear(HoldEnded("billing"))
        await anyio.sleep(100)
        reader.hear(ENDED)

    found = tell(held)
    assert found.events[:-1] == told
    for _, message in found.messages[:-1]:
        assert (message["cause"], message["why"], message["seconds"]) == ("billing", "the billing is away", 60)
        assert message["text"] == "run k7m2q (balances) has been held for 1:00: the billing is away"


def test_each_hold_is_told_by_itself_and_none_after_the_end() -> None:
    async def held(reader: RunReader) -> None:
        for _ in range(2):
            reader.hear(Held("rate", "the night"))
            await anyio.sleep(15)
            reader.hear(HoldEnded("rate"))
            await anyio.sleep(RETURNS + 5)
        reader.hear(Held("paused", "paused by olga"))
        await anyio.sleep(9)
        reader.hear(ENDED)

    found = tell(held, replace(ALL, hold_seconds=10))
    assert found.events == [(10, "on-hold"), (40, "on-hold"), (69, "on-end")]


@pytest.mark.parametrize(("between", "told"), [(1, [66]), (RETURNS + 1, [])])
def test_a_billing_that_is_tried_by_a_call_and_fails_again_is_one_hold(between: float, told: list[float]) -> None:
    async def tried(reader: RunReader) -> None:
        for _ in range(20):
            reader.hear(Held("billing", "the billing is busy"))
            await anyio.sleep(9)
            reader.hear(HoldEnded("billing"))
            await anyio.sleep(between)
        reader.hear(ENDED)

    assert [when for when, event in tell(tried).events if event == "on-hold"] == told


def test_it_is_pinged_every_minute_and_at_the_end() -> None:
    async def long(reader: RunReader) -> None:
        await anyio.sleep(2.5 * PING_EVERY)
        reader.hear(ENDED)

    found = tell(long, HookSettings(ping=Hook("https://hooks.example.org", url=Secret(PING))))
    assert found.pings == [0, 60, 120, 150]
    assert found.journal.history.notes == []


def test_pings_that_fail_are_noted_once_and_so_is_that_they_work_again() -> None:
    async def long(reader: RunReader) -> None:
        await anyio.sleep(5.5 * PING_EVERY)
        reader.hear(ENDED)

    told = Told(pings_taken=lambda number: number not in {2, 3})
    found = tell(long, HookSettings(ping=Hook("https://hooks.example.org", url=Secret(PING))), told)
    assert found.journal.history.notes == [
        ("ping https://hooks.example.org", "it answered with the error 503"),
        ("ping https://hooks.example.org", "it is taken again"),
    ]


def test_a_hook_that_fails_and_a_journal_that_fails_stop_no_other_call() -> None:
    told = Told(status=500)
    told.journal.history.fails = True
    assert [event for _, event in tell(whole, told=told).events] == ["on-start", "on-person", "on-end"]
