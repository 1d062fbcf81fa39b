"""The JSON Schema of the settings file, for editors: `docs/reference/settings.schema.json`."""

from collections.abc import Mapping
from typing import Any

import msgspec

from cli.settings.tables import KNOWN, PROFILE, FileHead, ProfileHead, SettingsTables

Schema = dict[str, Any]


def schema() -> Schema:
    """The schema as values of JSON."""
    kinds = (SettingsTables, FileHead, ProfileHead)
    (whole, top, head), parts = msgspec.json.schema_components(kinds, ref_template="{name}")
    file, default, own = (_table(parts[one["$ref"]], parts) for one in (whole, top, head))
    # What a profile has of its own stands beside all that the file has.
    profile = {**own, "properties": {**own["properties"], **file["properties"]}}
    tables = {PROFILE: {"type": "object", "additionalProperties": profile}}
    properties = {**file["properties"], **tables, **default["properties"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Settings of carbon-migrate",
        **file,
        "properties": properties,
    }


def text() -> str:
    """The schema as the text of its file."""
    return msgspec.json.format(msgspec.json.encode(schema()), indent=2).decode() + "\n"


def _table(found: Mapping[str, Any], parts: Mapping[str, Any]) -> Schema:
    """A table with its keys, and the tables in it."""
    properties = {}
    for key, value in found["properties"].items():
        is_table = "$ref" in value and key in KNOWN
        described = {"description": value["description"]} if "description" in value else {}
        properties[key] = _table(parts[value["$ref"]], parts) if is_table else {**described, **_value(value, parts)}
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
