"""The feed of a page: follows a run through kills and restarts, a look a second, and keeps what it has seen.

The journal says who holds the run; who holds it is asked over its control socket. What has to be counted is counted
as often as it takes little of the machine's time.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import anyio
import msgspec
import structlog
from anyio.abc import TaskGroup

from checkpoints.errors import JournalError
from checkpoints.journal import Journal
from checkpoints.records import Holder, Run
from cli.page.snapshot import MOST_COMMANDS, PAUSE, Counted, RunFacts, count, snapshot_of
from cli.session.control_client import ask_facts, ask_status, unheard
from cli.session.journal import stored_policy
from cli.terminal.exits import CommandRefused
from cli.terminal.signals import run_alongside
from engine.control.events import Timeline
from engine.control.messages import to_json
from engine.pacing.policy import setting_text
from engine.pipeline.progress import Status
from engine.statistics import PaceSample
from texts.said import Language, Said, said

log = structlog.get_logger(__name__)

EVERY: Final = 1.0
"""Seconds between two looks."""

PATIENCE: Final = 1.5
"""Seconds to wait for an answer of the run's process: that nobody answers is to be seen within three."""

RECOVERY: Final = 10.0
"""Seconds after a fault of the page itself."""


class Feed:
    """Follows one run, and tells what it sees on a timeline."""

    def __init__(self, name: str, journal: Journal) -> None:
        self.timeline: Timeline[RunFacts] = Timeline()
        self.name = name
        self._journal = journal
        self._counted: Counted | None = None
        self._count_after = 0.0
        """When it may be counted again, on the clock of the event loop."""
        self._ends = 0
        """How often somebody has ceased to work on the run: a count that was begun before an end is old."""
        self._holder: Holder | None = None
        self._epoch = 0
        """The epoch of the run at the last look."""
        self._last_held: float | None = None
        """When somebody worked on it last, in seconds since 1970, as far as this feed knows."""
        self._seen_of_process = 0
        """The id of the last sample that the run's process has given."""
        self._trouble = ""
        """Why the last look failed."""
        self._rendered_facts: RunFacts | None = None
        self._rendered: dict[str, bytes] = {}

    def rendered(self, facts: RunFacts, language: Language) -> bytes:
        """A moment in JSON for readers of a language; rendered once for all of them."""
        if self._rendered_facts is not facts:
            self._rendered_facts, self._rendered = facts, {}
        if language.name not in self._rendered:
            self._rendered[language.name] = to_json(snapshot_of(facts, language))
        return self._rendered[language.name]

    async def follow(self) -> None:
        """Look at the run each second until cancelled; a look that fails is tried again with the next.

        Who looks meanwhile is cut off, comes again, and is told why.
        """
        async with run_alongside(self._count_again):
            while True:
                began = anyio.current_time()
                try:
                    await self.look()
                    self._trouble = ""
                except (JournalError, CommandRefused) as error:
                    self.timeline.cut_off()
                    if str(error) != self._trouble:
                        log.warning("the page cannot look at the run", run=self.name, why=str(error))
                    self._trouble = str(error)
                await anyio.sleep(max(0.0, EVERY - (anyio.current_time() - began)))

    async def look(self) -> None:
        """Look at the run now. Raises `NoSuchRun` and `JournalError`."""
        run = await self._journal.run(self.name)
        holder = await self._journal.holder(run)
        if holder is None and (self._holder or self._counted is None or run.epoch != self._epoch):
            # It has ended, or was killed: what was counted before is old. And so is what was read of it.
            run = await self._journal.run(self.name)
            self._counted = None
            self._ends += 1
        counted = self._counted = self._counted or await self._count(run)
        live, unanswered = await self._ask(run, holder) if holder else (None, None)
        if holder is None:
            samples = []
        else:
            self._last_held = time.time()
            samples = await self._samples(run, holder) if live else []
        self._holder, self._epoch = holder, run.epoch
        history = self._journal.history
        facts = RunFacts(
            run=run,
            counted=counted,
            holder=holder,
            runners=await history.runners(run),
            commands=await history.commands(run, size=MOST_COMMANDS),
            settings=setting_text(stored_policy(run)),
            sample=samples[-1] if samples else self._still(live),
            live=live,
            unanswered=unanswered,
            silent_for=None if holder else await self._silent_for(run),
        )
        self.timeline.add(samples or ([facts.sample] if facts.knows_pace else []), facts)

    async def _ask(self, run: Run, holder: Holder) -> tuple[Status | None, Said | None]:
        """What the process that holds the run says of it, and why it says nothing."""
        try:
            found = await ask_status(run, self._journal, patience=PATIENCE)
            if found is not None:
                return found, None
        except CommandRefused as error:
            log.debug("the run's process does not answer", run=run.name, why=str(error))
            return None, said("its process does not answer at this moment")
        except msgspec.ValidationError:
            return None, said("its process is of another version of this program")
        if self._journal.address.is_shared:
            return None, unheard(holder)
        return None, said("its process reads rows, looks something up, or waits for an answer on its terminal")

    async def _samples(self, run: Run, holder: Holder) -> list[PaceSample]:
        """The samples of the run's process that are new here; of one that has taken it up, all that it has."""
        seen = self._seen_of_process if holder == self._holder else 0
        try:
            found = await ask_facts(run, self._journal, f"samples?after={seen}", patience=PATIENCE)
            if found is None:
                return []
            samples = msgspec.convert(found["samples"], list[PaceSample])
        except (CommandRefused, KeyError, msgspec.ValidationError):
            return []
        self._seen_of_process = found.get("last", 0)
        return samples

    def _still(self, live: Status | None) -> PaceSample:
        """The sample of a moment in which nothing is heard of the run's pace."""
        window, in_flight = (live.window, live.in_flight) if live else (0, 0)
        return PaceSample(t=time.time(), rate=0.0, window=window, in_flight=in_flight, p50=None, p95=None)

    async def _silent_for(self, run: Run) -> float:
        """For how many seconds nobody has worked on the run: since it was last seen held, or last took a step."""
        if self._last_held is None:
            self._last_held = (await self._journal.history.last_change(run)).timestamp()
        return max(0.0, time.time() - self._last_held)

    async def _count(self, run: Run) -> Counted:
        """Count the rows, which is not done again for so long that it leaves the run its time."""
        began = anyio.current_time()
        try:
            return await count(run, self._journal)
        finally:
            now = anyio.current_time()
            self._count_after = now + max(EVERY, PAUSE * (now - began))

    async def _count_again(self) -> None:
        """Count again and again while somebody works on the run: else no row changes."""
        while True:
            await anyio.sleep(EVERY)
            if self._holder is None or anyio.current_time() < self._count_after:
                continue
            try:
                ends, counted = self._ends, await self._count(await self._journal.run(self.name))
                if ends == self._ends:
                    self._counted = counted
            except JournalError as error:
                # The next look says it.
                log.debug("the page cannot count the rows of the run", run=self.name, why=str(error))


class Feeds:
    """The feeds of a page: one a run, which follows it while somebody watches."""

    def __init__(self, journal: Journal, group: TaskGroup) -> None:
        self._journal = journal
        self._group = group
        self._feeds: dict[str, _Shared] = {}

    @asynccontextmanager
    async def watching(self, name: str) -> AsyncIterator[Feed]:
        """The feed of a run, which follows it for as long as the context lasts. Raises `NoSuchRun`."""
        await self._journal.run(name)
        shared = self._feeds.get(name)
        if shared is None:
            shared = self._feeds[name] = _Shared(Feed(name, self._journal))
            self._group.start_soon(shared.follow)
        shared.watchers += 1
        try:
            yield shared.feed
        finally:
            shared.watchers -= 1
            if not shared.watchers:
                del self._feeds[name]
                shared.scope.cancel()

    async def look(self) -> None:
        """Look at all runs that are watched, once more; one that cannot be looked at keeps its last moment."""
        for shared in list(self._feeds.values()):
            try:
                await shared.feed.look()
            except (JournalError, CommandRefused) as error:
                log.debug("the page cannot look at the run", run=shared.feed.name, why=str(error))
            except Exception:  # a fault of the page is no reason to change how a run comes out
                log.exception("the page has lost a run: a fault of ours, please report it")

    def close(self) -> None:
        """End all streams, once they have sent what there is."""
        for shared in self._feeds.values():
            shared.feed.timeline.close()


class _Shared:
    """A feed and those who watch it."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.watchers = 0
        self.scope = anyio.CancelScope()

    async def follow(self) -> None:
        with self.scope:
            while True:
                try:
                    await self.feed.follow()
                except Exception:  # a fault of the page is no reason to end anything else
                    log.exception("the page has lost a run: a fault of ours, please report it")
                    await anyio.sleep(RECOVERY)
