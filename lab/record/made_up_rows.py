"""The rows of an input with made-up people, so that the replay of a recording can be run without the real file.

A cell gets the value that a recording of the same key has in its place: what is asked for then is what was recorded.
Columns that the job does not use are emptied, for nobody knows what is in them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from jobs.spec.columns import KNOWN, normalise_header, titles_of
from jobs.spec.spec import JobSpec
from lab.record.people_remover import kind_of
from lab.record.pseudonyms import PersonalKind, Pseudonyms

_DROPPED: Final = "dropped"
_KEPT: Final = "kept"


class MadeUpRows:
    """The rows of a job's input with this header; `mapping` assigns columns to its names, as its run was told."""

    def __init__(
        self, pseudonyms: Pseudonyms, spec: JobSpec, header: Sequence[str], mapping: Mapping[str, str]
    ) -> None:
        self._pseudonyms = pseudonyms
        self._uses = list(_uses(spec, header, mapping))

    def row(self, cells: Sequence[str]) -> list[str]:
        """The cells with made-up values; surplus cells are left out."""
        return [self._cell(use, cell) for use, cell in zip(self._uses, cells, strict=False)]

    def _cell(self, use: PersonalKind | str, cell: str) -> str:
        if isinstance(use, PersonalKind):
            return self._pseudonyms.of(use, cell)
        return cell if use == _KEPT else ""


def _uses(spec: JobSpec, header: Sequence[str], mapping: Mapping[str, str]) -> Iterator[PersonalKind | str]:
    """What each column is of: something of a person, kept as it is, or not used by the job."""
    # A value is what its field in the call is, as in the recording.
    fields = {
        name: kind
        for template in spec.templates
        for link in template.links
        for field, name in link.places
        if (kind := kind_of(field, template.model))
    }
    placeholders = (name for template in spec.templates for name in template.names)
    further: dict[str, tuple[str, ...]] = dict.fromkeys((*placeholders, *KNOWN), ())
    further |= {one.name: one.columns or () for one in spec.parameters}
    # A title that two names claim goes to the first, and the call's own stand there first.
    named = {normalise_header(column): name for name, column in mapping.items()}
    for name, others in further.items():
        named |= {title: name for title in titles_of(name, others) if title not in named}
    for title in header:
        name = named.get(normalise_header(title), "")
        yield (fields.get(name) or kind_of(name, spec.model) or _KEPT) if name else _DROPPED
