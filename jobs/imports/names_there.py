"""The names that a billing has: read whole, before the names of an input are looked up in them."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from billing.directory.names import NamedObject, calls_for, in_database, of_answer
from billing.directory.objects import REFERENCES
from engine.errors import LookUpDelayed, LookUpFailed
from jobs.access.gateway import Gateway, as_engine_errors
from jobs.imports.subscriber import folder_path
from texts.said import Said

KINDS: Final = tuple(REFERENCES)

WORDS: Final[Mapping[str, str]] = {str(one.noun).casefold(): kind for kind, one in REFERENCES.items()}
"""The kinds by the words of a dictionary, in lower case; they are the same in every language."""

FOLDER: Final = "Folder"

_NO_OBJECTS: Final[Mapping[int, NamedObject]] = {}


def noun_of(kind: str) -> Said:
    return REFERENCES[kind].noun


def word_of(kind: str) -> str:
    return str(noun_of(kind))


def plain_name(name: str) -> str:
    """A name as two are compared: without white space around it, and with one blank where it has several."""
    return " ".join(name.split())


@dataclass(frozen=True, slots=True)
class NamesThere:
    """The named objects of a billing by kind and id, deleted ones too; a kind whose names are not known is absent.

    The first name of a folder is its path, its own name comes after it.
    """

    objects: Mapping[str, Mapping[int, NamedObject]] = field(default_factory=dict)
    _named: dict[str, Mapping[str, Sequence[NamedObject]]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, kinds: Mapping[str, Iterable[NamedObject]]) -> "NamesThere":
        found = {kind: {one.id: one for one in objects} for kind, objects in kinds.items()}
        for key, one in found.get(FOLDER, {}).items():
            path = folder_path((*one.above, one.names[0]))
            found[FOLDER][key] = replace(one, names=tuple(dict.fromkeys((path, *one.names))))
        return cls(found)

    def knows(self, kind: str) -> bool:
        return kind in self.objects

    def get(self, kind: str, key: int) -> NamedObject | None:
        """The object of an id, also a deleted one; None without one."""
        return self.objects.get(kind, _NO_OBJECTS).get(key)

    def live(self, kind: str) -> list[NamedObject]:
        return [one for one in self.objects.get(kind, _NO_OBJECTS).values() if not one.deleted]

    def named(self, kind: str, name: str) -> Sequence[NamedObject]:
        """The objects of exactly this name that are not deleted."""
        if kind not in self._named:
            by_name: defaultdict[str, list[NamedObject]] = defaultdict(list)
            for one in self.live(kind):
                for own in one.names:
                    by_name[plain_name(own)].append(one)
            self._named[kind] = by_name
        return self._named[kind].get(plain_name(name), ())


async def read_names(gateway: Gateway, kinds: Collection[str] = KINDS) -> NamesThere:
    """The names of these kinds, from the database, or through the API where it has none of them.

    Raises `LookUpFailed` where the billing does not answer.
    """
    found: dict[str, Iterable[NamedObject]] = {}
    for kind in kinds:
        objects = None
        if gateway.database is not None:
            objects = await gateway.read(partial(in_database, kind=kind))
        for call in calls_for(kind) if objects is None else ():
            try:
                (answer,) = await gateway.ask([call])
            except LookUpDelayed:
                raise
            except LookUpFailed:
                # The billing may not know the model, or one of its fields.
                continue
            with as_engine_errors():
                objects = of_answer(kind, answer)
            break
        if objects is not None:
            found[kind] = objects
    return NamesThere.of(found)
