"""The tables of `settings.md`: each key of the settings file, with its type from the code.

What a key is for is data here and not beside its type: no command needs it, and each would have to import it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeGuard

import msgspec

from cli.settings.tables import HOLD_SECONDS, KNOWN, SettingsTables
from cli.terminal.language import OPTION, VARIABLE
from cli.terminal.texts import (
    API_URL,
    CHARSET,
    DATABASE_CHARSET,
    DATABASE_PASSWORD,
    DATABASE_USER,
    JOURNAL_FILE,
    TIMEOUT,
    USER,
    VAULT_KEY,
)
from texts.remedies import DATABASE
from tools.reference.markdown import code, table

TOP: Final = "At the top of the file"
"""The heading of the keys that stand in no table."""


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """What a key is for, and where else it can be given. `type` is set where no struct has the key."""

    help: str
    default: str = "–"
    flag: str = ""
    variable: str = ""
    type: str = ""


_HOOK: Final = "see [hooks](../how-to/hooks.md)"

FACTS: Final[Mapping[str, KeyFacts]] = MappingProxyType(
    {
        "language": KeyFacts(
            "language of screens, help and reports: `ru` or `en`", "that of the system", OPTION, VARIABLE
        ),
        "journal": KeyFacts(
            "the journal: a file, relative to this one, or `postgresql://HOST/DATABASE`",
            "the billing's own",
            "--journal",
            JOURNAL_FILE,
        ),
        "journal_on_network": KeyFacts(
            "take a journal on a network file system: you see to it that one machine at a time uses it",
            "false",
            "--journal-on-network",
        ),
        "vault_key": KeyFacts(
            "the file with the key for [passwords of rows in PostgreSQL](../how-to/postgres.md), relative to this "
            "one; the variable has the key itself",
            "none",
            variable=VAULT_KEY,
        ),
        "jobs": KeyFacts("files that declare jobs of your own; relative to the file", "none"),
        "default_profile": KeyFacts("the profile that counts where none is chosen", "none", type="text"),
        "profile.NAME.name": KeyFacts(
            "the name of the billing, which is typed before money leaves", "none", type="text"
        ),
        "profile.NAME.production": KeyFacts(
            "ask for that name before anything is sent", "true for `[profile.production]`", type="true or false"
        ),
        "api.url": KeyFacts(
            "the REST API, as `http://HOST:8082`; needed by all that asks the billing",
            flag="--api-url",
            variable=API_URL,
        ),
        "api.form": KeyFacts("secret form fields of every call, as `hash_key`", "none"),
        "api.headers": KeyFacts("secret HTTP headers of every request", "none"),
        "api.timeout": KeyFacts(
            "seconds of silence after which an answer counts as lost", f"{TIMEOUT:g}", "--timeout"
        ),
        "database.address": KeyFacts(
            "the Firebird database, HOST:PATH, HOST/PORT:PATH or a file; relative to the settings file",
            "none: the API alone is asked",
            "--database",
            DATABASE,
        ),
        "database.user": KeyFacts("its user", USER, "--database-user", DATABASE_USER),
        "database.password": KeyFacts("its password", "none", variable=DATABASE_PASSWORD),
        "database.charset": KeyFacts(
            "its encoding; `WIN1251` for version 4", CHARSET, "--database-charset", DATABASE_CHARSET
        ),
        "report.organisation": KeyFacts("head of the report", "filled in by hand"),
        "report.handed_over_by": KeyFacts("who hands the load over", "filled in by hand"),
        "report.taken_over_by": KeyFacts("who takes it over", "filled in by hand"),
        "report.chief_accountant": KeyFacts("who signs for the accounts", "filled in by hand"),
        "hooks.on-start": KeyFacts(f"who is told when sending begins; {_HOOK}", "nobody"),
        "hooks.on-hold": KeyFacts("who is told when a run has been held", "nobody"),
        "hooks.on-person": KeyFacts("who is told when a person has to look", "nobody"),
        "hooks.on-end": KeyFacts("who is told when the work on a run ends", "nobody"),
        "hooks.hold-seconds": KeyFacts("a hold of less is not told; 0 to 86400", f"{HOLD_SECONDS:g}"),
        "hooks.ping": KeyFacts("an address that is got each minute of work", "none"),
        "metrics.file": KeyFacts(
            "text file for [Prometheus](../how-to/metrics.md), relative to the settings file; `{run}` in it is the "
            "run's name",
            "none",
        ),
        "metrics.port": KeyFacts("port of this machine for Prometheus; 0 for any free one", "none"),
    }
)
"""By table and key. A test names the keys that are missing here."""


def keys() -> Iterator[tuple[str, str]]:
    """All keys with their table, "" for the top of the file.

    A key that is a table itself is none. What a table within a table has of the file, as a profile has all of it, is
    not told again.
    """
    for name, own in KNOWN.items():
        for key in own:
            is_table = key in KNOWN or any(other.startswith(f"{key}.") for other in KNOWN)
            if not is_table and not ("." in name and key in KNOWN[""]):
                yield name, key


def key_tables() -> str:
    """A section for each table of the file."""
    lines: list[str] = []
    for name in KNOWN:
        rows = [_row(name, key) for of, key in keys() if of == name]
        lines += [f"### {code(f'[{name}]') if name else TOP}", ""]
        if "." in name:
            lines += ["All that the file has, and:", ""]
        lines += [table(["key", "type", "default", "flag, variable", "what for"], rows), ""]
    return "\n".join(lines).rstrip()


def _row(name: str, key: str) -> tuple[str, ...]:
    facts = FACTS.get(f"{name}.{key}".lstrip("."), KeyFacts("–"))
    elsewhere = ", ".join(code(one) for one in (facts.flag, facts.variable) if one) or "–"
    return (code(key), facts.type or type_of(name, key), facts.default, elsewhere, facts.help)


def type_of(name: str, key: str) -> str:
    """The type of a key in words, "–" where no struct has it."""
    of: msgspec.inspect.Type = msgspec.inspect.type_info(SettingsTables)
    for part in filter(None, [*name.split("."), key]):
        field = next((one for one in of.fields if one.encode_name == part), None) if _is_struct(of) else None
        if field is None:
            return "–"
        of = field.type
    return _words(of)


def _is_struct(of: msgspec.inspect.Type) -> TypeGuard[msgspec.inspect.StructType]:
    return isinstance(of, msgspec.inspect.StructType)


_SIMPLE: Final[Mapping[type[msgspec.inspect.Type], str]] = MappingProxyType(
    {
        msgspec.inspect.StrType: "text",
        msgspec.inspect.IntType: "whole number",
        msgspec.inspect.FloatType: "number",
        msgspec.inspect.BoolType: "true or false",
    }
)


def _each(of: msgspec.inspect.Type) -> str:
    return f"{_words(of)}s" if type(of) in _SIMPLE else f"values, each {_words(of)}"


def _words(of: msgspec.inspect.Type) -> str:
    match of:
        case msgspec.inspect.UnionType(types=types):
            return " or ".join(_words(one) for one in types if not isinstance(one, msgspec.inspect.NoneType))
        case msgspec.inspect.ListType(item_type=item):
            return f"list of {_each(item)}"
        case msgspec.inspect.DictType(value_type=value):
            return f"table of {_each(value)}"
        case msgspec.inspect.StructType(fields=fields):
            return f"table of {', '.join(code(one.encode_name) for one in fields)}"
        case _:
            return _SIMPLE.get(type(of), "any")
