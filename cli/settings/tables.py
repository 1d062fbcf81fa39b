"""The tables of the settings file, as they stand there, and all of their keys."""

from collections.abc import Mapping
from typing import Final

import msgspec

from cli.settings.credentials import Hidden
from cli.settings.hooks import HookTable
from cli.settings.metrics import MetricsTable


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
