"""The table [metrics]: where the figures of runs are published for Prometheus; without it nothing is."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from cli.settings.places import in_full
from cli.terminal.exits import SettingsRefused
from texts.said import said

_FILE: Final = "metrics.file"
_PORT: Final = "metrics.port"
_LAST_PORT: Final = 65_535


class MetricsTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table as it stands in the settings file."""

    file: str | None = None
    port: int | None = None


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """The file of the metrics, with `{run}` for the run's name where each run is to have its own, and their port.

    None stands for none, a port of 0 for any free one.
    """

    file: Path | None = None
    port: int | None = None

    def __bool__(self) -> bool:
        return self.file is not None or self.port is not None


def metrics_of(table: MetricsTable, folder: Path, place: Callable[[str], str]) -> MetricsSettings:
    """The metrics of a settings file in `folder`. Raises `SettingsRefused`; `place` says where a key is."""
    if table.port is not None and not 0 <= table.port <= _LAST_PORT:
        what = said("it is not a port from 0 up to {most}", most=str(_LAST_PORT))
        raise SettingsRefused(said("{place}: {key}: {what}", place=place(_PORT), key=_PORT, what=what))
    if table.file is None:
        return MetricsSettings(port=table.port)
    # A path in the file is relative to the file, as that of the journal is.
    if Path(table.file).name in {"", ".."} or table.file.endswith(("/", "/.")):
        raise SettingsRefused(
            said("{place}: {key}: {what}", place=place(_FILE), key=_FILE, what=said("it names no file"))
        )
    # A path in the file is relative to the file, as that of the journal is.
    return MetricsSettings((folder / in_full(table.file)).absolute(), table.port)
