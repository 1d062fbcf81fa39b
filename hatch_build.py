"""The build: compiles the catalogues of cli/locale, in the tree for an editable install too."""

from pathlib import Path
from typing import Any

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


def compile_catalogue(source: Path) -> Path:
    """Write the .mo beside a .po, and return its path; sentences that are marked as fuzzy are left out."""
    with source.open("rb") as file:
        catalogue = read_po(file, abort_invalid=True)
    compiled = source.with_suffix(".mo")
    with compiled.open("wb") as file:
        write_mo(file, catalogue)
    return compiled


class Catalogues(BuildHookInterface[Any]):
    """The hook that hatchling calls before it builds."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile all catalogues, and take them along."""
        for source in sorted(Path(self.root).glob("cli/locale/*/LC_MESSAGES/*.po")):
            compiled = compile_catalogue(source).relative_to(self.root).as_posix()
            build_data["artifacts"].append(compiled)
