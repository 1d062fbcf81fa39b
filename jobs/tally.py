"""The tally of an import: what its table asks for beside what the billing has, by folder, tariff and operator.

The table's side is in the journal: each row has a subscriber step with its groups, whatever became of it. The
billing's side are the live subscribers of the folders that the table names and, of rows that name none, those with
their contract numbers. Both are read page by page; in memory are sums a group, names of the billing, and a bounded
number of extra subscribers.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from types import MappingProxyType
from typing import Final

from billing.directory.subscribers import FolderMember, members_by_numbers, page_of_folders
from checkpoints.journal import Journal
from checkpoints.records import Item, Run
from checkpoints.sentences import DIFFERENT, DUPLICATE
from checkpoints.states import State
from checkpoints.tally import (
    MAX_EXTRA,
    NOTHING,
    ExtraSubscriber,
    ImportTally,
    Subtotal,
    TallyGroup,
    TallyKind,
    arranged,
)
from jobs.access.gateway import Gateway
from jobs.access.operations import newest
from jobs.access.payload import payload_of
from jobs.imports.names_there import NamesThere, read_names
from jobs.imports.subscriber import LANE, Step
from jobs.spec.parameters import row_key

PAGE: Final = 2_000
"""Subscribers of the billing that are read at a time."""

BALANCE: Final = "balance"
"""The group of a subscriber step that holds the opening balance of its row."""

_PARTS: Final = ("file", "billing", "not_entered", "moved", "extra")
_COUNTED: Final = frozenset(State) - {State.REPLACED}
_REFERENCES: Final[Mapping[TallyKind, str]] = MappingProxyType(
    {TallyKind.FOLDER: "Folder", TallyKind.TARIFF: "Tarif", TallyKind.OPERATOR: "Operator"}
)
"""The names of the kinds among the references of the billing."""


async def tally_of(run: Run, gateway: Gateway, journal: Journal) -> ImportTally:
    """The tally of an import as the billing is now. Raises `LookUpFailed`, also without a database."""
    sums = _Sums()
    await _add_table(run, journal, sums)
    names = await read_names(gateway, tuple(_REFERENCES.values()))
    sums.number_folders(names)
    await _add_billing(run, gateway, journal, sums)
    groups = list(sums.groups(names))
    return ImportTally(
        arranged(groups),
        sum(one.is_different for one in groups),
        (await journal.totals(run)).refused,
        sums.extra,
        tuple(sums.first_extra),
    )


@dataclass(slots=True)
class _Sums:
    """The parts of all groups, by their names in `TallyGroup`.

    The key of a folder is its id or, until the folders are numbered, its path.
    """

    parts: defaultdict[tuple[TallyKind, str, str], Subtotal] = field(default_factory=lambda: defaultdict(Subtotal))
    made: dict[str, str] = field(default_factory=dict)
    """The ids of folders that the run has made, by the keys of their items."""
    extra: int = 0
    first_extra: list[ExtraSubscriber] = field(default_factory=list)

    def add(self, kind: TallyKind, key: str, part: str, balance: Decimal | None, subscribers: int = 1) -> None:
        self.parts[kind, key, part] += Subtotal(subscribers, balance or Decimal(0))

    def keys(self, kind: TallyKind) -> list[str]:
        return list(dict.fromkeys(key for of, key, _ in self.parts if of is kind))

    def number_folders(self, names: NamesThere) -> None:
        """Give the folders that are named by a path their ids, as far as they are there."""
        for kind, path, part in list(self.parts):
            if kind is TallyKind.FOLDER and path and not path.isdecimal():
                named = names.named(_REFERENCES[kind], path)
                known = str(named[0].id) if len(named) == 1 else path
                number = self.made.get(row_key((Step.FOLDER, path)), known)
                if number != path:
                    self.parts[kind, number, part] += self.parts.pop((kind, path, part))

    def groups(self, names: NamesThere) -> Iterator[TallyGroup]:
        for kind in TallyKind:
            keys = self.keys(kind)
            if any(key and self.parts.get((kind, key, "file")) for key in keys):
                for key in keys:
                    found = names.get(_REFERENCES[kind], int(key)) if key.isdecimal() else None
                    file, billing, lost, moved, extra = (
                        self.parts.get((kind, key, part), NOTHING) for part in _PARTS
                    )
                    yield TallyGroup(kind, key, found.names[0] if found else "", file, billing, lost, moved, extra)


# ---- the table, as the journal has it ---------------------------------------------------------------------------


async def _add_table(run: Run, journal: Journal, sums: _Sums) -> None:
    lane, groups = "", MappingProxyType[str, str]({})
    async for page in journal.each_page(run, _COUNTED):
        for item in page:
            payload = payload_of(item)
            is_entered = item.state.in_effect or (item.state is State.SKIPPED and not _differs(item))
            match payload.step:
                case Step.FOLDER if item.state.in_effect and item.answer:
                    sums.made[item.key] = item.answer
                case Step.SUBSCRIBER if not (item.state is State.SKIPPED and item.kind == DUPLICATE):
                    # The other steps of the row are behind it.
                    lane, groups = item.lane, MappingProxyType(payload.groups)
                    for kind in TallyKind:
                        sums.add(kind, groups.get(kind, ""), "file", _stated(groups))
                        if not (is_entered or _differs(item)):
                            sums.add(kind, groups.get(kind, ""), "not_entered", None)
                case Step.BALANCE if item.lane == lane and not is_entered:
                    for kind in TallyKind:
                        sums.add(kind, groups.get(kind, ""), "not_entered", _stated(groups), 0)
                case _:
                    pass


def _differs(item: Item) -> bool:
    """Whether a step has left what was there as it was: a subscriber is there all the same, its balance is not."""
    return item.kind == DIFFERENT


def _stated(groups: Mapping[str, str]) -> Decimal | None:
    """The opening balance of a row, None if it has none."""
    return Decimal(groups[BALANCE]) if groups.get(BALANCE) else None


# ---- the billing ------------------------------------------------------------------------------------------------


async def _add_billing(run: Run, gateway: Gateway, journal: Journal, sums: _Sums) -> None:
    keys, after = sums.keys(TallyKind.FOLDER), 0
    folders = frozenset(int(key) for key in keys if key.isdecimal())
    while page := await gateway.read(partial(page_of_folders, folders=folders, after=after, size=PAGE)):
        after = page[-1].id
        await _add_page(page, run, gateway, journal, sums, of_folders=True)
    if "" not in keys:
        return
    async for items in journal.each_page(run, _COUNTED):
        # The subscribers of rows that name no folder, wherever the billing has put them.
        payloads = [(item, payload_of(item)) for item in items]
        numbers = {
            item.lane.removeprefix(LANE)
            for item, payload in payloads
            if payload.step == Step.SUBSCRIBER and not payload.groups.get(TallyKind.FOLDER)
        }
        if numbers:
            page = await gateway.read(partial(members_by_numbers, numbers=numbers))
            await _add_page(page, run, gateway, journal, sums, of_folders=False)


async def _add_page(
    page: Sequence[FolderMember], run: Run, gateway: Gateway, journal: Journal, sums: _Sums, *, of_folders: bool
) -> None:
    keys = [_key(one, step) for one in page for step in (Step.SUBSCRIBER, Step.BALANCE)]
    items = {one.key: one for one in await journal.items_by_key(run, keys)}
    known: list[tuple[FolderMember, Mapping[str, str], Decimal]] = []
    for one in page:
        item = items.get(_key(one, Step.SUBSCRIBER))
        if item is None or item.state is State.REPLACED:
            sums.add(TallyKind.FOLDER, str(one.folder or ""), "extra", one.balance)
            sums.extra += 1
            if len(sums.first_extra) < MAX_EXTRA:
                extra = ExtraSubscriber(one.id, one.contract_number, one.name, one.folder, one.balance)
                sums.first_extra.append(extra)
            continue
        own = payload_of(item).groups
        if of_folders is bool(own.get(TallyKind.FOLDER)):
            stated = _stated(own)
            # By how much its balance is another one than its row says.
            known.append((one, own, Decimal(0) if stated is None else one.balance - stated))
    differing = [member.id for member, _, gap in known if gap]
    latest = await newest(gateway, differing) if differing else {}
    for member, groups, gap in known:
        entry = items.get(_key(member, Step.BALANCE))
        answer = entry.answer if entry else None
        was_moved = bool(gap and answer and answer.isdecimal() and latest[member.id] > int(answer))
        there = {
            TallyKind.FOLDER: member.folder,
            TallyKind.TARIFF: member.tariff,
            TallyKind.OPERATOR: member.operator,
        }
        for kind, key in there.items():
            # What a row does not say of its subscriber is not compared.
            group = str(key or "") if groups.get(kind) else ""
            sums.add(kind, group, "billing", None if _stated(groups) is None else member.balance)
            if was_moved:
                sums.add(kind, group, "moved", gap)


def _key(one: FolderMember, step: Step) -> str:
    return row_key((one.contract_number, step, ""))
