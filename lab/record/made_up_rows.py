"""The rows of an input with made-up people, so that the replay of a recording can be run without the real file.

A cell gets the value that a recording of the same key has in its place: what is asked for then is what was recorded.
Columns that the job does not use are emptied, for nobody knows what is in them.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from jobs.spec.columns import KNOWN, normalise_header
from lab.record.people_remover import kind_of
from lab.record.pseudonyms import PersonalKind, Pseudonyms

_DROPPED: Final = "dropped"
_KEPT: Final = "kept"


class MadeUpRows:
    """The rows of an input with this header.

    `mapping` assigns columns to the job's names, as the run was told; `names` are the names of the job's values with
    those of their columns.
    """

    def __init__(
        self, pseudonyms: Pseudonyms, header: Sequence[str], mapping: Mapping[str, str], names: Collection[str]
    ) -> None:
        self._pseudonyms = pseudonyms
        self._uses = list(_uses(header, mapping, names))

    def row(self, cells: Sequence[str]) -> list[str]:
        """The cells with made-up values; surplus cells are left out."""
        return [self._cell(use, cell) for use, cell in zip(self._uses, cells, strict=False)]

    def _cell(self, use: PersonalKind | str, cell: str) -> str:
        if isinstance(use, PersonalKind):
            return self._pseudonyms.of(use, cell)
        return cell if use == _KEPT else ""


def _uses(header: Sequence[str], mapping: Mapping[str, str], names: Collection[str]) -> Iterator[PersonalKind | str]:
    """What each column is of: something of a person, kept as it is, or not used by the job."""
    mapped = {normalise_header(column): name for name, column in mapping.items()}
    usual = {normalise_header(name): name for name in names}
    for name, others in KNOWN.items():
        usual |= {normalise_header(other): name for other in (name, *others) if normalise_header(other) not in usual}
    for title in header:
        wanted = normalise_header(title)
        found = mapped.get(wanted) or usual.get(wanted)
        yield _DROPPED if found is None else kind_of(found) or _KEPT
