"""The reader of a run that shows in systemd's status line how far it is."""

import anyio

from cli.service.service_manager import ServiceManager, service_manager
from cli.session.events import LiveRun, OpenReader, RunBegan, RunEnded, RunEvent, RunReader, describe_outcome
from cli.show.closing import Closing
from cli.show.progress import line
from texts.said import Said, said


def show_to(manager: ServiceManager) -> OpenReader:
    """Makes readers that show their runs to the service manager."""
    return lambda live: None if live.ended else StatusReader(live, manager)


class StatusReader(RunReader):
    """Shows one run. The service is started with the first of them: settings, billing and journal are at hand then.

    Rows are read and saved only afterwards, which may take as long as it takes.
    """

    def __init__(self, live: LiveRun, manager: ServiceManager) -> None:
        self._live = live
        self._manager = manager
        self._ended = anyio.Event()
        manager.work()
        self._manager.show(lambda: said("run {run} ({job}): reading its rows", **self._names))

    def hear(self, event: RunEvent) -> None:
        """Show how far it is from its beginning on, and at its end how it came out."""
        match event:
            case RunBegan():
                self._manager.show(lambda: line(self._live.look(), self._live.run.name).plain)
            case RunEnded(closing=closing):
                self._manager.show(lambda: _outcome(closing))
                self._ended.set()

    async def follow(self) -> None:
        """Wait for the end: the status is asked for as time goes by."""
        await self._ended.wait()

    @property
    def _names(self) -> dict[str, str]:
        return {"run": self._live.run.name, "job": self._live.run.job}


def show_outcome(closing: Closing) -> None:
    """Show how the command came out, which of a job file is more than how its last run did."""
    if (manager := service_manager()) is not None:
        manager.show(lambda: _outcome(closing))


def _outcome(closing: Closing) -> Said:
    outcome = describe_outcome(closing)
    return said("{run}: {outcome}", run=closing.run, outcome=outcome) if closing.run else outcome
