"""The JSON Schema of job files, for editors: `docs/reference/job-file.schema.json`.

Keys and types are those of the reader, what a key says is taken from the table of `job-files.md`.
"""

import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, get_type_hints

import msgspec

from cli.jobfile.job_file import FORMAT, KEYS, NUMBER, RUN, STEP, SWITCH, TABLE, TEXT, TEXTS
from cli.settings.pacing_flags import Pacing
from jobs.catalogue.catalogue import JOBS
from jobs.spec.entries import SharedAccountsRule
from tools.house import ROOT

PAGE: Final = ROOT / "docs" / "reference" / "job-files.md"
_ENTRY: Final = re.compile(r"^\| (`\w+`(?:, `\w+`)*) \| [^|]* \| (.*) \|$", re.MULTILINE)

Schema = Mapping[str, object]

_TYPES: Final[Mapping[str, Schema]] = MappingProxyType(
    {
        TEXT: {"type": "string"},
        TEXTS: {"type": "array", "items": {"type": "string"}},
        TABLE: {"type": "object", "additionalProperties": {"type": ["string", "integer"]}},
        SWITCH: {"type": "boolean"},
        NUMBER: {"type": "integer", "minimum": 1},
    }
)

_KNOWN_VALUES: Final[Mapping[str, Schema]] = MappingProxyType(
    {
        # A job of one's own has a name that nobody knows here.
        "job": {"anyOf": [{"enum": [*JOBS]}, {"type": "string"}]},
        "shared_accounts": {"enum": [str(rule) for rule in SharedAccountsRule]},
    }
)


def schema(page: Path = PAGE) -> dict[str, object]:
    """The schema as values of JSON."""
    told = {
        name: text
        for names, text in _ENTRY.findall(page.read_text(encoding="utf-8"))
        for name in re.findall(r"`(\w+)`", names)
    }
    step = {
        name: {"description": told.get(name, ""), **_KNOWN_VALUES.get(name, _TYPES[kind])}
        for name, kind in KEYS.items()
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A job file of carbon-migrate",
        "type": "object",
        "additionalProperties": False,
        "required": [STEP],
        "properties": {
            "format": {"description": told.get("format", ""), "type": "integer", "minimum": 1, "maximum": FORMAT},
            RUN: {
                "description": "how hard the billing is driven, for all steps",
                "type": "object",
                "additionalProperties": False,
                "properties": _pacing(),
            },
            STEP: {
                "description": "one job, in the order of the file",
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["job"],
                    "properties": step,
                },
            },
        },
    }


def text() -> str:
    """The schema as the text of its file."""
    return msgspec.json.format(msgspec.json.encode(schema()), indent=2).decode() + "\n"


def _pacing() -> dict[str, Schema]:
    """The keys of `[run]`, each with the help of its flag."""
    hints: Mapping[str, Any] = get_type_hints(Pacing, include_extras=True)
    found: dict[str, Schema] = {}
    for field in fields(Pacing):
        option, *_ = hints[field.name].__metadata__
        is_switch = "bool" in str(hints[field.name].__origin__)
        kind: Schema = {"type": "boolean"} if is_switch else {"type": ["string", "number"]}
        found[field.name] = {"description": option.help, **kind}
    return found
