"""The declarations that the settings name: Python files with jobs of one's own.

Who may have written such a file is asked before anything of it is run, and of the bytes that are run: code of another
user is never run, whoever has named it.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from cli.settings.file_access import FoundFile, read_found_bytes
from cli.settings.places import in_full
from cli.terminal.exits import SettingsRefused
from cli.terminal.texts import reason_of
from texts.said import said, text_of

if TYPE_CHECKING:
    from jobs.catalogue.catalogue import Catalogue
    from jobs.catalogue.declaration import Declaration


@dataclass(frozen=True)
class OwnJobs:
    """The declarations of the settings, and the place that names them; none is read before it is asked for.

    With `takes_changed` a run goes on although its declaration has changed.
    """

    files: tuple[Path, ...] = ()
    origin: str = ""
    takes_changed: bool = False

    @cached_property
    def catalogue(self) -> "Catalogue":
        """The built-in jobs, and those of the declarations."""
        from jobs.catalogue.catalogue import Catalogue  # noqa: PLC0415 - most commands need no job

        return Catalogue([partial(_read, file, self.origin) for file in self.files], takes_changed=self.takes_changed)


def own_jobs_of(names: Sequence[str], folder: Path, origin: str) -> OwnJobs:
    """The declarations of these names, which are relative to the folder of the settings file."""
    return OwnJobs(tuple(folder.absolute() / in_full(name) for name in names), origin)


def _read(path: Path, origin: str, taken: Container[str]) -> "Declaration":
    from jobs.catalogue.declaration import Declaration, read_declaration  # noqa: PLC0415 - as above

    try:
        content = read_found_bytes(FoundFile(path, said("the declaration"), is_run=True))
    except SettingsRefused as error:
        return Declaration(path, fault=text_of(error))
    except OSError as error:
        return Declaration(path, fault=said("{file}: {why}", file=path, why=reason_of(error)))
    if content is None:
        fault = said("{origin}: there is no file {file}", origin=origin, file=path)
        return Declaration(path, fault=fault)
    return read_declaration(path, content, taken)
