"""The JSON Schema of job files, for editors: `docs/reference/job-file.schema.json`.

Keys and types are those of the reader, what a key says is taken from the table of `job-files.md`.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

from cli.jobfile.job_file import FORMAT, KEYS, NUMBER, RUN, STEP, SWITCH, TABLE, TEXT, TEXTS
from cli.settings.flags import options_of
from cli.settings.pacing_flags import Pacing
from jobs.catalogue.catalogue import JOBS
from jobs.spec.entries import SharedAccountsRule
from tools.house import ROOT
from tools.reference.markdown import code

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


def pacing_keys() -> str:
    """The keys of `[run]`, for the page."""
    return ", ".join(code(name) for name in options_of(Pacing))


def _pacing() -> dict[str, Schema]:
    """The keys of `[run]`, each with the help of its flag."""
    found: dict[str, Schema] = {}
    for name, row in options_of(Pacing).items():
        kind: Schema = {"type": ["string", "number"]} if row.metavar else {"type": "boolean"}
        found[name] = {"description": row.help, **kind}
    return found
