"""The JSON Schema of the settings file, for editors: `docs/reference/settings.schema.json`.

Types are those of the code, with what `settings_keys.py` says of each key.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from cli.settings.tables import KNOWN, SettingsTables
from tools.reference.settings_keys import FACTS

Schema = dict[str, Any]

_WORDS = {"true or false": "boolean", "number": "number", "whole number": "integer"}
"""Types of keys that no struct has, as JSON Schema names them; a text else."""


def schema() -> Schema:
    """The schema as values of JSON."""
    (whole,), parts = msgspec.json.schema_components([SettingsTables], ref_template="{name}")
    file = _table("", parts[whole["$ref"]], parts)
    for name, keys in KNOWN.items():
        outer, _, inner = name.partition(".")
        if inner:
            # What a table of tables has of its own stands beside all that the file has.
            own = {key: _own_key(f"{name}.{key}") for key in keys if key not in KNOWN[""]}
            properties = {**own, **{key: value for key, value in file["properties"].items() if key in keys}}
            one = {"type": "object", "additionalProperties": False, "properties": properties}
            file["properties"] = {**file["properties"], outer: {"type": "object", "additionalProperties": one}}
    for key in KNOWN[""]:
        file["properties"].setdefault(key, _own_key(key))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Settings of carbon-migrate", **file}


def text() -> str:
    """The schema as the text of its file."""
    return msgspec.json.format(msgspec.json.encode(schema()), indent=2).decode() + "\n"


def _table(name: str, found: Mapping[str, Any], parts: Mapping[str, Any]) -> Schema:
    """A table with its keys, and the tables in it."""
    properties = {}
    for key, value in found["properties"].items():
        way = f"{name}.{key}".lstrip(".")
        is_table = "$ref" in value and way in KNOWN
        properties[key] = (
            _table(way, parts[value["$ref"]], parts) if is_table else _described(way, _value(value, parts))
        )
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _value(found: Any, parts: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any part of a schema
    """A value without what TOML does not have, null, and without names of ours."""
    match found:
        case {"$ref": str(name)}:
            return _value(parts[name], parts)
        case {"anyOf": [*options]}:
            left = [_value(one, parts) for one in options if one != {"type": "null"}]
            return left[0] if len(left) == 1 else {"anyOf": left}
        case dict():
            kept = {key: one for key, one in found.items() if key not in {"default", "title", "description"}}
            return {key: _value(one, parts) for key, one in kept.items()}
        case list():
            return [_value(one, parts) for one in found]
        case _:
            return found


def _own_key(way: str) -> Schema:
    facts = FACTS.get(way)
    return _described(way, {"type": _WORDS.get(facts.type, "string") if facts else "string"})


def _described(way: str, value: Schema) -> Schema:
    return {"description": FACTS[way].help, **value} if way in FACTS else value
