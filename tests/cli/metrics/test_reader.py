"""The metrics of a run: what they say at each moment of it, in the format that Prometheus reads."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import cast

import anyio
from prometheus_client.parser import text_string_to_metric_families

from checkpoints.journal import Journal
from checkpoints.records import Run, Totals
from checkpoints.states import State
from cli.metrics.reader import EVERY, MetricsReader, exposition, publish_metrics
from cli.service.reader import show_to
from cli.service.service_manager import ServiceManager
from cli.session.events import LiveRun, RunBegan, RunEnded
from cli.settings.tables import MetricsSettings
from cli.show.closing import Closing
from cli.terminal.exits import Exit
from engine.pacing.holds import PAUSED
from engine.pipeline.progress import Progress, Sending
from tests.cli.metrics.conftest import Samples, of, scraped
from tests.virtual_clock import run as on_virtual_clock

NOW = datetime.now(UTC)
A_RUN = Run(1, "k7m2q", "balances", {}, "http://billing", "rows.csv", "", (), None, NOW, NOW, NOW, None)


@dataclass
class Collected:
    """A run that is measured, without its journal: no figure is asked of it."""

    progress: Progress = field(default_factory=Progress)
    texts: list[str] = field(default_factory=list)

    def reader(self) -> MetricsReader:
        async def publish(text: str) -> None:
            self.texts.append(text)

        return MetricsReader(LiveRun(A_RUN, cast("Journal", None), self.progress.status), publish)

    @property
    def last(self) -> Samples:
        return scraped(self.texts[-1])


def totals(**counts: int) -> Totals:
    of_states = {State(name): number for name, number in counts.items()}
    return Totals(of_states, {state: Decimal("0.10") * number for state, number in of_states.items()})


def test_a_run_is_measured_from_its_beginning_every_some_seconds_and_at_its_end() -> None:
    async def told() -> Collected:
        collected = Collected()
        reader = collected.reader()
        async with anyio.create_task_group() as group:
            group.start_soon(reader.follow)
            await anyio.sleep(60)
            assert collected.texts == []
            reader.hear(RunBegan(totals(pending=5), taken_up=False))
            await anyio.sleep(2.5 * EVERY)
            assert len(collected.texts) == 3
            reader.hear(RunEnded(Closing(Exit.REJECTED, "k7m2q", "balances", totals(accepted=4, rejected=1))))
        return collected

    collected = on_virtual_clock(told())
    first, *_, last = map(scraped, collected.texts)
    assert (of(first, "items", state="pending"), of(first, "working")) == (5, 1)
    assert of(first, "roubles", state="pending") == 0.5
    assert "carbon_migrate_last_exit_code" not in collected.texts[0]
    assert len(collected.texts) == 4
    assert (of(last, "items", state="accepted"), of(last, "items", state="rejected")) == (4, 1)
    assert (of(last, "items", state="pending"), of(last, "working")) == (0, 0)
    assert of(last, "last_exit_code") == Exit.REJECTED
    assert of(last, "last_end_timestamp_seconds") <= of(last, "updated_timestamp_seconds")


def test_a_run_that_is_refused_before_it_sends_has_its_end_alone() -> None:
    async def told() -> Collected:
        collected = Collected()
        reader = collected.reader()
        reader.hear(RunEnded(Closing(Exit.REFUSED, "k7m2q", "balances", error="the answer was no")))
        await reader.follow()
        return collected

    collected = on_virtual_clock(told())
    assert len(collected.texts) == 1
    assert of(collected.last, "last_exit_code") == Exit.REFUSED


async def test_what_is_between_two_steps_of_a_job_file_is_measured_by_nobody() -> None:
    live = LiveRun(A_RUN, cast("Journal", None), Progress().status, ended=True)
    assert publish_metrics(MetricsSettings(port=0))(live) is None
    assert show_to(ServiceManager(""))(live) is None


def test_what_moves_is_what_the_run_says_of_itself() -> None:
    async def told() -> Collected:
        collected = Collected()
        progress = collected.progress
        progress.sending = lambda: Sending(in_flight=3, window=4)
        progress.take_up(totals(pending=10), intake_ended=True)
        reader = collected.reader()
        reader.hear(RunBegan(totals(pending=10), taken_up=True))
        progress.moved(State.PENDING, State.SENDING, 3, amount=Decimal("0.30"))
        progress.moved(State.SENDING, State.ACCEPTED, amount=Decimal("0.10"))
        progress.called(0.25)
        progress.holds.put(PAUSED, 'paused by "olga"\n')
        collected.texts.append(reader.text())
        return collected

    seen = on_virtual_clock(told()).last
    states = {"pending": 7, "sending": 2, "accepted": 1}
    assert {state: of(seen, "items", state=state) for state in State if of(seen, "items", state=state)} == states
    assert {state: of(seen, "roubles", state=state) for state in states} == {
        "pending": 0.7,
        "sending": 0.2,
        "accepted": 0.1,
    }
    assert (of(seen, "calls_total"), of(seen, "calls_in_flight"), of(seen, "window_calls")) == (1, 3, 4)
    assert of(seen, "held") == 1
    assert of(seen, "held_seconds_total", cause=PAUSED) >= 0


async def test_what_a_label_says_is_escaped_and_no_digit_of_a_sum_is_lost() -> None:
    strange = 'a "b" \\ c\nd'
    roubles = {str(State.ACCEPTED): Decimal("12345678901234567.89")}
    status = replace(Progress().status(), amounts=roubles, held_seconds={strange: 1.5})
    text = exposition("k7m2q", strange, status, NOW)
    held = next(one for one in text_string_to_metric_families(text) if one.name == "carbon_migrate_held_seconds")
    assert [sample.labels for sample in held.samples] == [{"run": "k7m2q", "job": strange, "cause": strange}]
    assert " 12345678901234567.89\n" in text


async def test_the_series_of_a_run_are_few() -> None:
    status = replace(Progress().status(), held_seconds={"paused": 1.0})
    ended = RunEnded(Closing(Exit.DONE, "k7m2q", "balances"))
    at_work, at_rest = (exposition("k7m2q", "balances", status, NOW, end) for end in (None, ended))
    assert len(scraped(at_work)) == 2 * len(State) + 1 + 7
    assert len(scraped(at_rest)) == len(scraped(at_work)) + 2
