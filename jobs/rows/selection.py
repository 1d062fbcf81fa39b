"""The selection of rows of an input: `--only` and `--exclude` with keys, `--limit` with a number.

A key is the contract number or the id by which a row names its subscriber or object, compared as text. The input is
first read once for its keys alone, so a mistyped key is refused before anything is sent.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import anyio.from_thread

from checkpoints.records import Refusal
from engine.errors import InputRefused
from engine.rows import DerivedSource, LastLine, RowPage, Source
from jobs.access.gateway import Gateway
from jobs.access.subscribers import SubscriberFinder
from jobs.rows.key_lists import KeyList, Keys, read_keys, unended_of
from jobs.spec.parameters import whole_id
from texts.remedies import Remedy, setting
from texts.said import Quantity, counted, said

ONLY: Final = setting("only")
EXCLUDE: Final = setting("exclude")
BY_ONLY: Final = "--only"
BY_EXCLUDE: Final = "--exclude"
"""The reasons for rows left out, as the journal keeps them."""

_NAMED: Final = 20
"""Keys that a sentence names; the others are only counted."""
_KEY_SHOWN: Final = 60
"""Characters of a key that a sentence shows."""


@dataclass(frozen=True, slots=True)
class KeyColumns:
    """The places of the keys of rows, counted from 0: the id, and its alternative (contract number or login).

    `of_subscribers` tells that the billing can convert one kind of key into the other.
    """

    id: int | None
    other: int | None
    of_subscribers: bool = False

    def of(self, cells: Sequence[str]) -> tuple[str, str]:
        """Both keys of a row, "" for a missing one."""
        return (
            "" if self.id is None else cells[self.id].strip(),
            "" if self.other is None else cells[self.other].strip(),
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """Keys in the spelling of the rows."""

    ids: frozenset[str]
    others: frozenset[str]
    missing: tuple[str, ...] = ()
    """The keys that no row has."""

    def has(self, key: tuple[str, str]) -> bool:
        """Whether a row has one of the keys."""
        return key[0] in self.ids or key[1] in self.others


class Selected(DerivedSource):
    """Some rows of another source: those of `only`, without those of `exclude`, and at most `limit` of them.

    The limit is applied by the caller, which knows the rows that are sent. An unreadable row has no key, and `only`
    leaves it out. `pages` raises `InputRefused` for keys that no row has.
    """

    def __init__(
        self,
        inner: Source,
        columns: KeyColumns,
        gateway: Gateway,
        *,
        limit: int = 0,
        only: KeyList | None = None,
        exclude: KeyList | None = None,
    ) -> None:
        super().__init__(inner)
        self._columns = columns
        self._gateway = gateway
        self._only = only
        self._exclude = exclude
        self._wanted: tuple[Wanted | None, Wanted | None] | None = None
        self._limit = limit

    @property
    def is_read_whole(self) -> bool:
        """Whether all rows are read first; also with `only` and `exclude`, whose keys must be found in the rows."""
        return self._inner.is_read_whole or self._only is not None or self._exclude is not None

    @property
    def limit(self) -> int:
        """The largest number of rows to send; 0 for all."""
        return self._limit

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on how the rows are read, and on keys of `exclude` that no row has. Raises `InputRefused`."""
        _, exclude = self._ready()
        missing = exclude.missing if exclude else ()
        if not missing:
            return self._inner.notes
        told = counted(
            "{flag}: {n} key is in no row: {keys}",
            "{flag}: {n} keys are in no row: {keys}",
            len(missing),
            flag=EXCLUDE,
            keys=_listed(missing),
        )
        return (*self._inner.notes, told)

    @property
    def unended(self) -> tuple[LastLine, ...]:
        """The last lines of the rows and of the lists of keys that may have been cut. Raises `InputRefused`."""
        lists = [one for keys in (self._only, self._exclude) if keys for one in unended_of(keys)]
        return (*self._inner.unended, *lists)

    def pages(self, after: str | None) -> Iterator[RowPage]:
        """The pages after the cursor `after`, with the selected rows. Used in a worker thread."""
        only, exclude = self._ready()
        for page in self._inner.pages(after):
            yield self._chosen(page, only, exclude)

    def _chosen(self, page: RowPage, only: Wanted | None, exclude: Wanted | None) -> RowPage:
        if only is None and exclude is None:
            return page
        left_out = {BY_ONLY: 0, BY_EXCLUDE: 0}

        def is_meant(key: tuple[str, str] | None) -> bool:
            if only is not None and (key is None or not only.has(key)):
                left_out[BY_ONLY] += 1
                return False
            if exclude is not None and key is not None and exclude.has(key):
                left_out[BY_EXCLUDE] += 1
                return False
            return True

        rows = tuple(row for row in page.rows if is_meant(self._columns.of(row.cells)))
        refusals = tuple(one for one in page.refusals if is_meant(self._key_of(one)))
        return replace(page, rows=rows, refusals=refusals, left_out={k: n for k, n in left_out.items() if n})

    def _key_of(self, refusal: Refusal) -> tuple[str, str] | None:
        # In a row with too few or too many cells, the columns are not known.
        return self._columns.of(refusal.row) if len(refusal.row) == len(self.header) else None

    # ---- the keys, before the first row ----

    def _ready(self) -> tuple[Wanted | None, Wanted | None]:
        if self._wanted is None:
            lists = [(ONLY, self._only), (EXCLUDE, self._exclude)]
            self._wanted = (self._found(*lists[0]), self._found(*lists[1]))
        return self._wanted

    def _found(self, flag: Remedy, given: KeyList | None) -> Wanted | None:
        """The keys in the spelling of the rows. Raises `InputRefused` for ambiguous and missing keys."""
        if given is None:
            return None
        if self._columns.id is None and self._columns.other is None:
            raise InputRefused(
                "{flag}: {file} has no column that says which row is whose: leave {flag} out",
                flag=flag,
                file=self._inner.name,
            )
        keys = read_keys(given, flag)
        direct = Wanted(keys.ids | keys.either, keys.others | keys.either)
        seen = self._seen(direct)
        self._refuse_ambiguous(flag, keys, seen)
        missing = [key for key in keys.all if key not in seen.ids and key not in seen.others]
        turned = self._turned(keys, missing)
        also = self._seen(Wanted(frozenset(turned), frozenset(turned))) if turned else _NO_MATCHES
        missing = [key for key in missing if not _is_found(key, turned, also)]
        if missing and (flag is ONLY or not given.file):
            raise InputRefused(self._not_found(flag, missing, is_one_word=bool(given.text and len(keys.all) == 1)))
        return Wanted(seen.ids | also.ids, seen.others | also.others, tuple(missing))

    def _not_found(self, flag: Remedy, missing: Sequence[str], *, is_one_word: bool) -> str:
        if is_one_word:
            return said(
                "{flag}: 1 key is in no row of {file}: {key!r}. There is no file of that name either",
                flag=flag,
                file=self._inner.name,
                key=missing[0][:_KEY_SHOWN],
            )
        return counted(
            "{flag}: {n} key is in no row of {file}: {keys}",
            "{flag}: {n} keys are in no row of {file}: {keys}",
            len(missing),
            flag=flag,
            file=self._inner.name,
            keys=_listed(missing),
        )

    def _seen(self, wanted: Wanted) -> "MatchedKeys":
        """The keys that rows have; the whole input is read."""
        ids: set[str] = set()
        others: set[str] = set()
        apart: tuple[set[str], set[str]] = (set(), set())
        for page in self._inner.pages(None):
            for one, other in map(self._key, _cells(page)):
                if one and one in wanted.ids:
                    ids.add(one)
                    if other != one:
                        apart[0].add(one)
                if other and other in wanted.others:
                    others.add(other)
                    if one != other:
                        apart[1].add(other)
        return MatchedKeys(frozenset(ids), frozenset(others), frozenset(apart[0] & apart[1]))

    def _key(self, cells: Sequence[str]) -> tuple[str, str]:
        return self._columns.of(cells) if len(cells) == len(self.header) else ("", "")

    def _refuse_ambiguous(self, flag: Remedy, keys: Keys, seen: "MatchedKeys") -> None:
        """Refuse a key that names one row by its id and another by its contract number.

        If the rows have only ids, the billing is asked, because people mostly mean the contract number.
        """
        ambiguous: dict[str, str] = dict.fromkeys(
            keys.either & seen.both, said("one row by its id and another by its number or login")
        )
        if self._columns.of_subscribers and self._columns.other is None:
            for key, abonent in self._by_number(keys.either & seen.ids).items():
                if abonent != key:
                    ambiguous[key] = said(
                        "a row by its id, and is the contract number of abonent {abonent}", abonent=abonent
                    )
        for key, why in sorted(ambiguous.items()):
            raise InputRefused(
                "{flag}: {key!r} names {why}. Write it into a CSV file with a column abonent_id or "
                "contract_number, and name that file with {flag}",
                flag=flag,
                key=key,
                why=why,
            )

    def _turned(self, keys: Keys, missing: Iterable[str]) -> dict[str, str]:
        """The other spellings of keys that no row has: the id of a contract number, or the reverse."""
        if not self._columns.of_subscribers:
            return {}
        left = frozenset(missing)
        if self._columns.other is None:
            return {abonent: key for key, abonent in self._by_number(left - keys.ids).items()}
        if self._columns.id is None:
            return {number: key for key, number in self._by_id(left - keys.others).items()}
        return {}

    def _by_number(self, numbers: Collection[str]) -> dict[str, str]:
        """The ids of contract numbers, for those that exist. Raises `LookUpFailed`."""
        if not numbers:
            return {}
        abonents = SubscriberFinder(self._gateway, suggested_for=0)
        found = anyio.from_thread.run(abonents.by_contract_numbers, numbers)
        return {str(key): str(one.id) for key, one in found.items() if not isinstance(one, str)}

    def _by_id(self, ids: Collection[str]) -> dict[str, str]:
        """The contract numbers of ids, for those that exist. Raises `LookUpFailed`."""
        whole = [key for text in ids if isinstance(key := whole_id(text), int)]
        if not whole:
            return {}
        found = anyio.from_thread.run(SubscriberFinder(self._gateway).by_ids, whole)
        return {
            str(key): one.contract_number
            for key, one in found.items()
            if not isinstance(one, str) and one.contract_number
        }


@dataclass(frozen=True, slots=True)
class MatchedKeys:
    """Keys found in rows as ids or as their alternatives; `both` name one row by id and another by alternative."""

    ids: frozenset[str]
    others: frozenset[str]
    both: frozenset[str] = frozenset()


_NO_MATCHES: Final = MatchedKeys(frozenset(), frozenset())


def _cells(page: RowPage) -> Iterator[Sequence[str]]:
    yield from (row.cells for row in page.rows)
    yield from (one.row for one in page.refusals)


def _is_found(key: str, turned: Mapping[str, str], also: MatchedKeys) -> bool:
    return any(of_key == key and (there in also.ids or there in also.others) for there, of_key in turned.items())


def _listed(keys: Sequence[str]) -> str:
    named = ", ".join(f"{key[:_KEY_SHOWN]!r}" for key in keys[:_NAMED])
    if len(keys) <= _NAMED:
        return named
    return said("{named} and {more} more", named=named, more=Quantity(len(keys) - _NAMED))
