"""The files that are written from the code: whole ones, and blocks of pages that people write.

A block stands between `<!-- NAME -->` and `<!-- /NAME -->`.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tools.house import ROOT
from tools.reference import (
    commands,
    exit_codes,
    job_file_schema,
    journal,
    settings_keys,
    settings_schema,
    small_tables,
)

REFERENCE: Final = ROOT / "docs" / "reference"

Block = Callable[[], str]

BLOCKS: Final[Mapping[str, Mapping[str, Block]]] = MappingProxyType(
    {
        "environment.md": {"variables": small_tables.variable_table},
        "exit-codes.md": {"codes": exit_codes.code_table, "commands": exit_codes.command_table},
        "job-files.md": {"pacing": job_file_schema.pacing_keys},
        "journal.md": {
            "format": journal.format_line,
            "tables": journal.table_sections,
            "states": journal.state_table,
        },
        "settings.md": {"keys": settings_keys.key_tables},
        "marks.md": {"models": small_tables.mark_table},
        "metrics.md": {"metrics": small_tables.metric_table},
    }
)
"""The blocks of each page."""


def written() -> Iterator[tuple[Path, str]]:
    """Each file that has something written from the code, as it should be."""
    for name, text in commands.pages().items():
        yield REFERENCE / "commands" / name, text
    yield REFERENCE / "job-file.schema.json", job_file_schema.text()
    yield REFERENCE / "settings.schema.json", settings_schema.text()
    for name, blocks in BLOCKS.items():
        path = REFERENCE / name
        text = path.read_text(encoding="utf-8")
        for block, content in blocks.items():
            text = with_block(text, block, content())
        yield path, text


def with_block(page: str, name: str, content: str) -> str:
    """The page with the content of a block. Raises `LookupError` where it has none of that name, or several."""
    whole = re.compile(rf"<!-- {name} -->\n.*?<!-- /{name} -->", re.DOTALL)
    text, found = whole.subn(lambda _: f"<!-- {name} -->\n{content}\n<!-- /{name} -->", page)
    if found != 1:
        raise LookupError(f"{found} blocks <!-- {name} -->")
    return text


def stale() -> dict[Path, str]:
    """The files that would be written otherwise today, with what they would be."""
    return {path: text for path, text in written() if not path.exists() or path.read_text(encoding="utf-8") != text}
