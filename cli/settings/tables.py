"""The tables of the settings file, as they stand there, and all of their keys."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from cli.settings.credentials import Hidden
from cli.settings.hooks import HookTable
from cli.settings.places import in_full
from cli.terminal.exits import SettingsRefused
from texts.said import said

# ---- the table [metrics] ------------------------------------------------------------------------------------------


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


# ---- all tables ---------------------------------------------------------------------------------------------------


class Letterhead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table [report]: the organisation, and who signs; an empty name is filled in by hand."""

    organisation: str = ""
    handed_over_by: str = ""
    taken_over_by: str = ""
    chief_accountant: str = ""


class ApiTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table [api]: where the REST API is, and what each call to it carries."""

    url: str | None = None
    form: dict[str, Hidden] = {}
    headers: dict[str, Hidden] = {}
    timeout: float | None = None


class DatabaseTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table [database]."""

    address: str | None = None
    user: str | None = None
    password: Hidden | None = None
    charset: str | None = None


class SettingsTables(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file: what stands above its tables, and they."""

    language: str | None = None
    report: Letterhead = Letterhead()
    journal: str | None = None
    journal_on_network: bool = False
    vault_key: Hidden | None = None
    jobs: list[str] = []
    api: ApiTable = ApiTable()
    database: DatabaseTable = DatabaseTable()
    hooks: HookTable = HookTable()
    metrics: MetricsTable = MetricsTable()


PROFILE: Final = "profile"
DEFAULT_PROFILE: Final = "default_profile"
PROFILE_KEYS: Final = ("name", "production")
"""What only a profile of settings has; for the rest it has what the file has."""

KNOWN: Final[Mapping[str, tuple[str, ...]]] = {
    "": (*SettingsTables.__struct_encode_fields__, DEFAULT_PROFILE, PROFILE),
    f"{PROFILE}.NAME": (*PROFILE_KEYS, *SettingsTables.__struct_encode_fields__),
    "api": ApiTable.__struct_encode_fields__,
    "database": DatabaseTable.__struct_encode_fields__,
    "report": Letterhead.__struct_encode_fields__,
    "hooks": HookTable.__struct_encode_fields__,
    "metrics": MetricsTable.__struct_encode_fields__,
}
"""The keys of the file, by their table."""
