"""From a kind of job, its parameters and its rows to the `Job` that the engine works with."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

from billing.directory.references import REFERENCES
from billing.errors import NotASelect
from billing.profile import unconfirmed
from checkpoints.records import Item, NewItem, Refusal, Run
from engine.errors import InputRefused
from engine.evidence import Evidence
from engine.job import AskMates, CannotLook, Entries, Job, Keeps, LookedFor, LookUpResult, Prepared, ReadBack
from engine.rows import Row, Source
from jobs.access.gateway import Gateway
from jobs.access.payload import decode_payload, encode_payload, payload_of
from jobs.access.references import References
from jobs.access.type_8 import replaces
from jobs.effects.before_image import Mate, found_own
from jobs.effects.effect import Effect, Irreversible, Keeping, Planned, Recognising, Resting, Undo
from jobs.rows.binding import Binding, Bound, Headed, is_given
from jobs.rows.input import Input, open_rows
from jobs.rows.secret_cells import guard_rows
from jobs.rows.selection import Selected
from jobs.spec.columns import Assigned
from jobs.spec.errors import ParameterRefused
from jobs.spec.parameters import Parameter
from jobs.spec.spec import JobSpec
from jobs.spec.statements import asked_for, own_select, statement_of


class Intended(Protocol):
    """Rows, and what becomes of them."""

    @property
    def source(self) -> Source:
        """Where they come from. Raises `InputRefused`."""
        ...

    async def prepare(self, rows: Sequence[Row]) -> Prepared:
        """Rows to items and refusals. Raises `LookUpFailed`."""
        ...

    async def find_entries(self, items: Sequence[NewItem]) -> Mapping[str, Entries]:
        """By key, what is there already of the same entry. Raises `LookUpFailed`."""
        ...


class Work:
    """A `Job`: rows that are intended, and the effect that their calls have."""

    def __init__(
        self, name: str, services: Gateway, intended: Intended, effect: Effect, cautions: Sequence[str] = ()
    ) -> None:
        self.name = name
        self._cautions = tuple(cautions)
        self.repeatable = effect.repeatable
        self._services = services
        self._intended = intended
        self._effect = effect
        self._keeping = effect if isinstance(effect, Keeping) else None
        self.looked_for = effect.looked_for if isinstance(effect, Recognising) else LookedFor.NEVER
        self.looks_together = services.database is not None

    @property
    def cautions(self) -> tuple[str, ...]:
        """What whoever agrees to a run should know; of rows that are read by now, what could not be checked."""
        notes = self._intended.notes if isinstance(self._intended, FromInput) else ()
        return (*self._cautions, *notes)

    @property
    def source(self) -> Source:
        """Where the rows come from. Raises `InputRefused`."""
        return self._intended.source

    def assumptions(self, items: Sequence[Item]) -> list[str]:
        """What the money of these items rests on and no probe has confirmed, each a sentence."""
        if not isinstance(self._effect, Resting):
            return []
        rests_on = self._effect.rests_on([payload_of(item) for item in items])
        return unconfirmed(self._services.profile, rests_on)

    async def prepare(self, rows: Sequence[Row]) -> Prepared:
        """Rows to items and refusals. Raises `LookUpFailed`."""
        return await self._intended.prepare(rows)

    async def find_entries(self, items: Sequence[NewItem]) -> Mapping[str, Entries]:
        """By key, what is there already of the same entry. Raises `LookUpFailed`."""
        return await self._intended.find_entries(items)

    async def check(self) -> None:
        """Ask whether what was given for all rows is in the billing. Raises `ParameterRefused` and `LookUpFailed`."""
        if isinstance(self._intended, FromInput):
            await self._intended.check()

    def assigned(self, header: tuple[str, ...]) -> Assigned:
        """Which columns of a header are taken for what; nothing where rows are no input. Raises `InputRefused`."""
        return self._intended.assigned(header) if isinstance(self._intended, FromInput) else Assigned({}, ())

    async def try_out(self) -> None:
        """Ask once, about nobody, what effect and way back will have to ask.

        Raises `InputRefused`, `LookUpFailed`.
        """
        await self._effect.try_out()
        back = self._effect.way_back({})
        if not isinstance(back, Irreversible):
            try:
                await back.try_out()
            except InputRefused as error:
                raise InputRefused(f"what this run does could not be taken back: {error}") from error

    async def send(self, run: Run, item: Item) -> Evidence:
        """Make the item's one call."""
        return await self._effect.send(run, item)

    @property
    def keeps(self) -> Keeps:
        """What the items keep of what their calls overwrite."""
        return self._keeping.keeps if self._keeping else Keeps.NOTHING

    async def kept_now(self, items: Sequence[Item], mates: AskMates) -> Mapping[int, str]:
        """The new payloads of items that keep something else than there is now. Raises `LookUpFailed`."""
        if self._keeping is None or not (anew := await self._keeping.kept_now(items)):
            return {}
        changed = [item for item in items if item.item_id in anew]
        by_lane: defaultdict[str, list[Mate]] = defaultdict(list)
        for one in await mates({item.lane for item in changed}):
            by_lane[one.lane].append(Mate(one.number, payload_of(one), stands=True))
        return {
            item.item_id: encode_payload(found_own(item.number, anew[item.item_id], by_lane[item.lane]))
            for item in changed
        }

    async def undrained(self, items: Sequence[Item]) -> str | None:
        """What the billing has not worked off of these. Raises `LookUpFailed`."""
        return await self._effect.undrained(items)

    async def look_up(self, run: Run, items: Sequence[Item]) -> Mapping[int, LookUpResult]:
        """What became of the items. Raises `LookUpFailed`."""
        return await self._effect.look_up(run, items)

    async def read_back(self, run: Run, items: Sequence[Item]) -> Mapping[int, ReadBack | CannotLook]:
        """What the billing now says of the items, or why it cannot be asked. Raises `LookUpFailed`."""
        return await self._effect.read_back(run, items)

    def doubts(self, report: Callable[[int], None]) -> AbstractContextManager[None]:
        """Report items whose answers are in doubt."""
        return self._services.client.doubts(report)

    def replaces(self, item: NewItem) -> bool:
        """Whether the item's call sets a balance, in place of what an earlier one of its account has set."""
        return isinstance(self._intended, FromInput) and replaces(
            decode_payload(item.payload), self._services.profile
        )

    async def probe(self) -> None:
        """Ask the billing for its version. Raises `LookUpFailed`."""
        await self._services.probe()

    def shown(self, run_name: str, item: Item) -> str:
        """The item's call as one readable line, without secrets."""
        return self._effect.shown(run_name, item)

    def way_back(self, how: Mapping[str, str]) -> Undo:
        """What takes the effect back."""
        return self._effect.way_back(how)


class FromInput:
    """Rows of an input, planned by an effect."""

    def __init__(
        self, services: Gateway, kind: JobSpec, parameters: Mapping[str, str], rows: Input, effect: Planned
    ) -> None:
        self._services = services
        self._kind = kind
        self._parameters = parameters
        self._rows = rows
        self._effect = effect
        self._references = References(services)

    @cached_property
    def _opened(self) -> tuple[Source, Binding]:
        names = self._effect.names
        optional = {parameter.name for parameter in self._kind.parameters if parameter.optional}
        needed = [name for name in names if name not in optional]
        says_all = bool(needed or not names) and all(is_given(name, self._parameters) for name in needed)
        self._check_used(says_all=says_all)
        source = open_rows(
            self._services,
            self._rows,
            self._parameters,
            own=statement_of(self._kind.statement, self._parameters),
            says_all=says_all,
        )
        binding = self._binding(source)
        # Before anything is entered into the journal: a column that is missing is a refused input.
        _ = binding.columns
        return self._selected(guard_rows(source, binding.secret_places), binding), binding

    def _selected(self, source: Source, binding: Binding) -> Source:
        """The source, with those of its rows that are meant. Raises `InputRefused`."""
        rows = self._rows
        if not (rows.limit or rows.only or rows.exclude):
            return source
        columns = binding.key_columns
        return Selected(source, columns, self._services, limit=rows.limit, only=rows.only, exclude=rows.exclude)

    def assigned(self, header: tuple[str, ...]) -> Assigned:
        """Which columns of a header are taken for what; the rows are not touched. Raises `InputRefused`."""
        return self._binding(_Header("the input", header)).assigned

    def _binding(self, rows: Headed) -> Binding:
        kind, mapping = self._kind, self._rows.mapping
        return Binding(self._services, rows, self._effect.names, kind.parameters, self._parameters, mapping)

    def _check_used(self, *, says_all: bool) -> None:
        """Refuse what was said for the job's own select where that select is not what the rows come from.

        Whoever names a folder beside a file believes that the folder counts. Raises `InputRefused`.
        """
        own = asked_for(own_select(self._kind))
        if not (self._rows.file or self._rows.sql or says_all):
            if empty := [name for name in own if not self._parameters.get(name)]:
                raise InputRefused(
                    f"there is nothing to read rows from: give --set {empty[0]}=… for the job's own select, or name "
                    "a file, - for standard input, or give --sql"
                )
            return
        typed = () if self._rows.file else _names_of(self._rows.sql)
        for name in own:
            if self._parameters.get(name) and name not in {*self._effect.names, *typed}:
                raise InputRefused(
                    f"--set {name}=… chooses rows for the job's own select, and the rows come from elsewhere: "
                    f"nothing would look at it. Leave out --set {name}=…, or the other rows"
                )

    @property
    def source(self) -> Source:
        """The rows. Raises `InputRefused` when they are not there or a column is missing."""
        return self._opened[0]

    async def prepare(self, rows: Sequence[Row]) -> Prepared:
        """Cells to values, values to items. Raises `LookUpFailed`."""
        binding = self._opened[1]
        bound, refused = await binding.bind(rows)
        bound, nowhere = await self._referring(bound, binding)
        refused += nowhere
        planned = await self._effect.plan(bound)
        items = tuple(replace(item, key=self._kind.key(item.key)) for item in planned.items)
        return Prepared(items, _in_order((*refused, *planned.refusals)))

    async def check(self) -> None:
        """Raises `ParameterRefused` for an id given for all rows that is not in the billing, and `LookUpFailed`."""
        faults = [
            f"{one.name}: {_nowhere(one, value)}"
            for one in self._kind.parameters
            if one.refers_to and (value := self._parameters.get(one.name))
            if await self._references.missing(one.refers_to, {value})
        ]
        if faults:
            raise ParameterRefused("\n".join(faults))

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the rows could not be checked."""
        return self._references.notes

    async def _referring(self, bound: Sequence[Bound], binding: Binding) -> tuple[list[Bound], list[Refusal]]:
        """The rows whose ids are in the billing, and those of which one is not."""
        kept, refused = list(bound), list[Refusal]()
        for one in self._kind.parameters:
            column = binding.columns.get(one.name)
            if not one.refers_to or column is None:
                continue
            missing = await self._references.missing(one.refers_to, {row.values[one.name] for row in kept})
            if missing:
                refused += [
                    row.refused(_nowhere(one, value), column.name)
                    for row in kept
                    if (value := row.values[one.name]) in missing
                ]
                kept = [row for row in kept if row.values[one.name] not in missing]
        return kept, refused

    async def find_entries(self, items: Sequence[NewItem]) -> Mapping[str, Entries]:
        """What the effect knows of. Raises `LookUpFailed`."""
        return await self._effect.find_entries(items)


@dataclass(frozen=True, slots=True)
class _Header:
    """The columns of a run's input, as the journal has them."""

    name: str
    header: tuple[str, ...]


def assigned_of(job: Job, header: tuple[str, ...]) -> Assigned:
    """Which columns of a job's input are taken for what; nothing for a job that takes another run back.

    The file itself is not looked at: a run that is frozen needs it no more. Raises `InputRefused`.
    """
    return job.assigned(header) if isinstance(job, Work) else Assigned({}, ())


def assumptions_of(job: Job, items: Sequence[Item]) -> Sequence[str]:
    """What the money of these items of the job rests on, and no probe has confirmed, each a sentence."""
    return job.assumptions(items) if isinstance(job, Work) else ()


async def check_given(job: Job) -> None:
    """Refuse a job whose parameters name what is not in the billing. Raises `ParameterRefused` and `LookUpFailed`."""
    if isinstance(job, Work):
        await job.check()


def cautions_of(job: Job) -> Sequence[str]:
    """What whoever agrees to a run of the job should know, each a sentence."""
    return job.cautions if isinstance(job, Work) else ()


def _nowhere(parameter: Parameter, value: str) -> str:
    noun = REFERENCES[parameter.refers_to].noun
    return f"the billing has no {noun} {value}, or it is deleted"


def _names_of(sql: str) -> tuple[str, ...]:
    try:
        return asked_for(sql)
    except NotASelect:
        # What is wrong with it is told when it is opened.
        return ()


def _in_order(refusals: Sequence[Refusal]) -> tuple[Refusal, ...]:
    return tuple(sorted(refusals, key=lambda one: one.line or 0))


def build(kind: JobSpec, services: Gateway, parameters: Mapping[str, str], rows: Input) -> Job:
    """The job, set up. Raises `ParameterRefused`; `InputRefused` comes when its source is asked for."""
    effect = kind.effect(services, parameters)
    return Work(kind.name, services, FromInput(services, kind, parameters, rows, effect), effect, effect.cautions)
