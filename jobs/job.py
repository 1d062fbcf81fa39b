"""From a kind of job, its parameters and its rows to the `Job` that the engine works with."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from billing.directory.references import REFERENCES
from billing.errors import NotASelect
from billing.profile import unconfirmed
from checkpoints.records import Item, NewItem, Refusal
from engine.errors import InputRefused, Said, setting
from engine.job import Job, Prepared
from engine.rows import Row, Source
from jobs.access.gateway import Gateway
from jobs.access.operations import sets_balance
from jobs.access.payload import decode_payload, payload_of
from jobs.access.references import References
from jobs.effects.effect import CallEffect, Irreversible
from jobs.effects.factory import effect_of
from jobs.rows.binding import Binding, Bound, Header, is_given
from jobs.rows.input import Input, open_rows
from jobs.rows.secret_cells import guard_rows
from jobs.rows.selection import Selected
from jobs.spec.columns import Assigned
from jobs.spec.errors import ParameterRefused
from jobs.spec.parameters import Parameter
from jobs.spec.spec import JobSpec, asked_for, own_select, statement_of


class BillingJob(Job):
    """What every job on the billing is: a name, and an effect that is made of calls."""

    effect: CallEffect

    def __init__(self, name: str, gateway: Gateway, effect: CallEffect) -> None:
        self.name = name
        self.effect = effect
        self._gateway = gateway

    def assumptions(self, items: Sequence[Item]) -> Sequence[str]:
        """What the money of these items rests on and no probe has confirmed, each a sentence."""
        rests_on = self.effect.rests_on([payload_of(item) for item in items])
        return unconfirmed(self._gateway.profile, rests_on) if rests_on else ()

    async def try_out(self) -> None:
        """Ask once, about nobody, what effect and way back will have to ask.

        Raises `InputRefused`, `LookUpFailed`.
        """
        await self.effect.try_out()
        back = self.effect.undo({})
        if not isinstance(back, Irreversible):
            try:
                await back.try_out()
            except InputRefused as error:
                raise InputRefused("what this run does could not be taken back: ", *error.said) from error


class InputJob(BillingJob):
    """A job whose rows are those of an input: a file, a select, or what is given for one row."""

    def __init__(
        self, gateway: Gateway, kind: JobSpec, parameters: Mapping[str, str], rows: Input, effect: CallEffect
    ) -> None:
        super().__init__(kind.name, gateway, effect)
        self._kind = kind
        self._parameters = parameters
        self._rows = rows
        self._references = References(gateway)

    @cached_property
    def _opened(self) -> tuple[Source, Binding]:
        names = self.effect.names
        optional = {parameter.name for parameter in self._kind.parameters if parameter.optional}
        needed = [name for name in names if name not in optional]
        says_all = bool(needed or not names) and all(is_given(name, self._parameters) for name in needed)
        self._check_used(says_all=says_all)
        source = open_rows(
            self._gateway,
            self._rows,
            self._parameters,
            own=statement_of(self._kind.select, self._parameters),
            says_all=says_all,
        )
        binding = self._binding(Header(source.name, source.header))
        # Before anything is entered into the journal: a column that is missing is a refused input.
        _ = binding.columns
        return self._selected(guard_rows(source, binding.secret_places), binding), binding

    def _selected(self, source: Source, binding: Binding) -> Source:
        """The source, with those of its rows that are meant. Raises `InputRefused`."""
        rows = self._rows
        if not (rows.limit or rows.only or rows.exclude):
            return source
        columns = binding.key_columns
        return Selected(source, columns, self._gateway, limit=rows.limit, only=rows.only, exclude=rows.exclude)

    def assigned(self, header: tuple[str, ...]) -> Assigned:
        """Which columns of a header are taken for what; the rows are not touched. Raises `InputRefused`."""
        return self._binding(Header("the input", header)).assigned

    def _binding(self, header: Header) -> Binding:
        kind, mapping = self._kind, self._rows.mapping
        return Binding(self._gateway, header, self.effect.names, kind.parameters, self._parameters, mapping)

    def _check_used(self, *, says_all: bool) -> None:
        """Refuse what was said for the job's own select where that select is not what the rows come from.

        Whoever names a folder beside a file believes that the folder counts. Raises `InputRefused`.
        """
        own = asked_for(own_select(self._kind))
        if not (self._rows.file or self._rows.sql or says_all):
            if empty := [name for name in own if not self._parameters.get(name)]:
                raise InputRefused(
                    "there is nothing to read rows from: give ",
                    setting("set", f"{empty[0]}=…"),
                    " for the job's own select, or name a file, - for standard input, or give ",
                    setting("sql"),
                )
            return
        typed = () if self._rows.file else _names_of(self._rows.sql)
        for name in own:
            if self._parameters.get(name) and name not in {*self.effect.names, *typed}:
                given = setting("set", f"{name}=…")
                raise InputRefused(
                    given,
                    " chooses rows for the job's own select, and the rows come from elsewhere: ",
                    "nothing would look at it. Leave out ",
                    given,
                    ", or the other rows",
                )

    @property
    def cautions(self) -> tuple[Said, ...]:
        """What whoever agrees to a run should know; of rows that are read by now, what could not be checked."""
        return (*self.effect.cautions, *self._references.notes)

    def replaces(self, item: NewItem) -> bool:
        """Whether the item's call sets a balance, in place of what an earlier one of its account has set."""
        return sets_balance(decode_payload(item.payload), self._gateway.profile)

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
        planned = await self.effect.plan(bound)
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


def assigned_of(job: Job, header: tuple[str, ...]) -> Assigned:
    """Which columns of a job's input are taken for what; nothing for a job that takes another run back.

    The file itself is not looked at: a run that is frozen needs it no more. Raises `InputRefused`.
    """
    return job.assigned(header) if isinstance(job, InputJob) else Assigned({}, ())


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


def build(kind: JobSpec, gateway: Gateway, parameters: Mapping[str, str], rows: Input) -> InputJob:
    """The job, set up. Raises `ParameterRefused`; `InputRefused` comes when its source is asked for."""
    return InputJob(gateway, kind, parameters, rows, effect_of(gateway, kind, parameters))
