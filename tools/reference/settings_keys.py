"""The tables of `settings.md`: each key of the settings file, from the tables and the options of the code."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeGuard

import msgspec

from cli.settings.settings import SETTINGS
from cli.settings.tables import KNOWN, PROFILE, FileHead, ProfileHead, SettingsTables
from tools.reference.markdown import code, table

TOP: Final = "At the top of the file"
"""The heading of the keys that stand in no table."""


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """A key: what it is for, what counts without it, where else it can be given, and its type in words."""

    help: str
    default: str
    type: str
    flag: str = ""
    variable: str = ""


_SIMPLE: Final[Mapping[type[msgspec.inspect.Type], str]] = MappingProxyType(
    {
        msgspec.inspect.StrType: "text",
        msgspec.inspect.IntType: "whole number",
        msgspec.inspect.FloatType: "number",
        msgspec.inspect.BoolType: "true or false",
    }
)


def _facts(of: msgspec.inspect.Type, prefix: str) -> Iterator[tuple[str, KeyFacts]]:
    elsewhere = {row.key: (name, row) for name, row in SETTINGS.items()}
    for field in of.fields if _is_struct(of) else ():
        way = f"{prefix}{field.encode_name}"
        if isinstance(field.type, msgspec.inspect.Metadata):
            told = field.type.extra_json_schema or {}
            name, row = elsewhere.get(way, ("", None))
            flag = row.flags_of(name)[0] if row and "hidden" not in dict(row.more) else ""
            default = (field.type.extra or {})["default"]
            found = told["description"], default, _words(field.type), flag, row.variable if row else ""
            yield way, KeyFacts(*found)
        else:
            yield from _facts(field.type, f"{way}.")


def _is_struct(of: msgspec.inspect.Type) -> TypeGuard[msgspec.inspect.StructType]:
    return isinstance(of, msgspec.inspect.StructType)


def _each(of: msgspec.inspect.Type) -> str:
    return f"{_words(of)}s" if type(of) in _SIMPLE else f"values, each {_words(of)}"


def _words(of: Any) -> str:  # noqa: ANN401 - any type of msgspec
    match of:
        case msgspec.inspect.Metadata(type=inner):
            return _words(inner)
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


FACTS: Final[Mapping[str, KeyFacts]] = MappingProxyType(
    {
        way: facts
        for prefix, kind in (("", SettingsTables), ("", FileHead), (f"{PROFILE}.NAME.", ProfileHead))
        for way, facts in _facts(msgspec.inspect.type_info(kind), prefix)
    }
)
"""By table and key."""


def key_tables() -> str:
    """A section for each table of the file."""
    lines: list[str] = []
    for name in KNOWN:
        rows = [_row(way.rpartition(".")[2], facts) for way, facts in FACTS.items() if way.rpartition(".")[0] == name]
        lines += [f"### {code(f'[{name}]') if name else TOP}", ""]
        if "." in name:
            lines += ["All that the file has, and:", ""]
        lines += [table(["key", "type", "default", "flag, variable", "what for"], rows), ""]
    return "\n".join(lines).rstrip()


def _row(key: str, facts: KeyFacts) -> tuple[str, ...]:
    elsewhere = ", ".join(code(one) for one in (facts.flag, facts.variable) if one) or "–"
    return (code(key), facts.type, facts.default, elsewhere, facts.help)
