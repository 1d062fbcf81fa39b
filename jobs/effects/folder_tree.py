"""Folders by their paths: the ids of those that the billing has, and the names of those that it has not yet.

Дома/Новостройки     Дома ── there, id 1000      Новостройки ── to be created, within 1000
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from billing.directory.models import BillingObject
from jobs.access.gateway import Gateway
from jobs.access.objects import find
from jobs.access.references import References
from jobs.access.subscribers import as_bool
from jobs.effects.creatable_models import FOLDER_FLAG, FOLDERS
from jobs.imports.subscriber import folder_names, folder_path
from jobs.spec.parameters import whole_id
from texts.said import said

REMEMBERED: Final = 10_000
"""Paths that are remembered; the rows of a table mostly share a few."""

_DEEPEST: Final = 30
_SHOWN: Final = 5
_PARENT: Final = "parent_id"
_FIELDS: Final = FOLDERS.fields(())


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of a path: the `parent` is the id of the last one that is there, None for the top.

    `missing` are the paths of those that are not there, from the outermost; without any the `parent` is the folder.
    """

    parent: int | None = None
    missing: tuple[str, ...] = ()


TOP: Final = Folder()
"""No folder: a subscriber without one is at the top."""


class FolderTree:
    """The folders of one billing. One object a job: it remembers what it has found, and what is missing.

    A path that was missing is not looked up again: who creates it is the run that is being planned.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._references = References(gateway)
        self._known: dict[tuple[str, ...], Folder | str] = {}

    async def find(self, paths: Collection[str]) -> dict[str, Folder | str]:
        """The folder of each path, or why none is meant by it. Raises `LookUpFailed`."""
        named = {path: folder_names(path) for path in dict.fromkeys(paths)}
        # Pages are prepared beside each other: what this one needs is taken from no other's memory.
        found: dict[tuple[str, ...], Folder | str] = {(): TOP}
        found |= {names: self._known[names] for names in named.values() if names in self._known}
        await self._look(found, [names for names in named.values() if names not in found])
        if len(self._known) + len(found) > REMEMBERED:
            self._known.clear()
        self._known |= found
        return {path: found[names] for path, names in named.items()}

    async def by_ids(self, ids: Collection[str]) -> dict[str, Folder | str]:
        """The folder of each id, or why there is none. Raises `LookUpFailed`."""
        numbers = {text: whole_id(text) for text in ids}
        possible = [text for text, key in numbers.items() if isinstance(key, int)]
        missing = await self._references.missing("Folder", possible)
        found: dict[str, Folder | str] = {}
        for text, key in numbers.items():
            found[text] = key if isinstance(key, str) else Folder(key)
            if text in missing:
                found[text] = said("there is no folder {id}, or it is deleted", id=key)
        return found

    async def _look(self, found: dict[tuple[str, ...], Folder | str], wanted: Sequence[tuple[str, ...]]) -> None:
        """Add the folders of these names to those that are found, level by level."""
        deepest = max(map(len, wanted), default=0)
        for names in wanted:
            if len(names) > _DEEPEST:
                found[names] = said("a path of {n} folders is too deep", n=len(names))
        for depth in range(1, min(deepest, _DEEPEST) + 1):
            level = dict.fromkeys(names[:depth] for names in wanted if _DEEPEST >= len(names) >= depth)
            await self._look_within(found, [names for names in level if names not in found])

    async def _look_within(
        self, found: dict[tuple[str, ...], Folder | str], level: Sequence[tuple[str, ...]]
    ) -> None:
        """Add folders whose outer ones are found."""
        within: dict[tuple[str, ...], int | None] = {}
        for names in level:
            outer = found[names[:-1]]
            if isinstance(outer, str):
                found[names] = outer
            elif outer.missing:
                found[names] = Folder(outer.parent, (*outer.missing, folder_path(names)))
            else:
                within[names] = outer.parent
        keys = [
            {"name": names[-1], FOLDER_FLAG: "1", _PARENT: "" if parent is None else str(parent)}
            for names, parent in within.items()
        ]
        things = await find(self._gateway, "Abonents", keys, _FIELDS) if keys else []
        for (names, parent), there in zip(within.items(), things, strict=True):
            found[names] = _the_one(folder_path(names), parent, there)


def _the_one(path: str, parent: int | None, there: Sequence[BillingObject]) -> Folder | str:
    within = None if parent is None else str(parent)
    ids = [
        thing.values["id"]
        for thing in there
        if FOLDERS.counts(thing) and as_bool(thing.values[FOLDER_FLAG]) and thing.values[_PARENT] == within
    ]
    if len(ids) > 1:
        return said(
            "the folder {path} is there {n} times, with the ids {ids}: give the id of the one that is meant",
            path=path,
            n=len(ids),
            ids=tuple(str(one) for one in ids[:_SHOWN]),
        )
    return Folder(int(ids[0] or 0)) if ids else Folder(parent, (path,))
