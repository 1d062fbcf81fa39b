"""The jobs of the engine, built from a spec, parameters and rows."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Final

from msgspec.structs import replace

from billing.errors import NotASelect
from billing.profile import unconfirmed
from checkpoints.records import Item
from engine.errors import InputRefused
from engine.job import Job, Prepared, Row, Source
from jobs.access.gateway import Gateway
from jobs.access.objects import References, nowhere, replaces_balance
from jobs.access.payload import decode_payload, payload_of
from jobs.effects.create import CreateEffect
from jobs.effects.effect import CallEffect
from jobs.effects.factory import effect_of
from jobs.effects.reverse import way_that_sends
from jobs.effects.subscriber_steps import SubscriberSteps
from jobs.rows.binding import Binding, Header, guard_rows, is_given
from jobs.rows.input import Input, Selected, open_rows
from jobs.spec.columns import Assigned
from jobs.spec.entries import DATE, DOCUMENT, TELLING
from jobs.spec.errors import ParameterRefused
from jobs.spec.spec import JobSpec, Special, asked_for, own_select, statement_of
from jobs.spec.words import WAY
from texts.said import advised, in_lines, said, setting

TOLD_APART: Final = said(
    "payments of one subscriber are told apart by the columns {document} or {date} ({flag}), and these rows have "
    "neither: a second one in the file is refused, and one that an earlier run has entered is asked about",
    document=DOCUMENT.name,
    date=DATE.name,
    flag=setting("map", f"{DOCUMENT.name}=COLUMN"),
)


class BillingJob(Job):
    """The base of all jobs on the billing: a name, and an effect made of calls."""

    effect: CallEffect

    def __init__(self, name: str, gateway: Gateway, effect: CallEffect) -> None:
        self.name = name
        self.effect = effect
        self._gateway = gateway

    def assigned(self, header: Sequence[str]) -> Assigned:
        """The columns of a header by the names of the job; none for a job that is not asked of its columns.

        The input itself is not read. Raises `InputRefused`.
        """
        return Assigned({}, ())

    def assumptions(self, items: Sequence[Item]) -> Sequence[str]:
        """The assumptions of these items that no probe has confirmed, each a sentence."""
        rests_on = self.effect.rests_on([payload_of(item) for item in items])
        return unconfirmed(self._gateway.profile, rests_on) if rests_on else ()

    async def try_out(self) -> None:
        """Try the look-ups of the effect and of its undo once, with ids that no object has.

        Raises `InputRefused`, `LookUpFailed`.
        """
        await self.effect.try_out()
        back = self.effect.undo({})
        if not isinstance(back, str):
            try:
                await back.try_out()
            except InputRefused as error:
                raise InputRefused("what this run does could not be taken back: {error}", error=error) from error


class InputJob(BillingJob):
    """A job with the rows of an input: a file, a select, or the values given for one row."""

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
        said = {parameter.name for parameter in self._kind.parameters if parameter.has_default}
        needed = [name for name in names if name not in said]
        says_all = bool(needed or not names) and all(is_given(name, self._parameters) for name in needed)
        # An operator who names a folder for the job's own select beside a file expects the folder to count.
        own = asked_for(own_select(self._kind))
        if not (self._rows.file or self._rows.sql or says_all):
            if empty := [name for name in own if not self._parameters.get(name)]:
                raise InputRefused(
                    "there is nothing to read rows from: give {flag} for the job's own select, or name a file, - "
                    "for standard input, or give {sql}",
                    flag=setting("set", f"{empty[0]}=…"),
                    sql=setting("sql"),
                )
            own = ()
        typed: tuple[str, ...] = ()
        if own and not self._rows.file:
            # A fault is reported when the select is opened.
            with suppress(NotASelect):
                typed = asked_for(self._rows.sql)
        for name in own:
            if self._parameters.get(name) and name not in {*names, *typed}:
                raise InputRefused(
                    "{flag} chooses rows for the job's own select, and the rows come from elsewhere: nothing "
                    "would look at it. Leave out {flag}, or the other rows",
                    flag=setting("set", f"{name}=…"),
                )
        source = open_rows(
            self._gateway,
            self._rows,
            self._parameters,
            own=statement_of(self._kind.select, self._parameters),
            says_all=says_all,
        )
        binding = self._binding(Header(source.name, source.header))
        # A missing column or key is refused here, before anything is written to the journal.
        binding.require_key()
        source = guard_rows(source, binding.secret_places)
        rows = self._rows
        if rows.limit or rows.only or rows.exclude:
            columns = binding.key_columns
            source = Selected(source, columns, self._gateway, limit=rows.limit, only=rows.only, exclude=rows.exclude)
        return source, binding

    def assigned(self, header: Sequence[str]) -> Assigned:
        if "_opened" in vars(self) and self._opened[0].header == tuple(header):
            return self._opened[1].assigned
        return self._binding(Header(said("the input"), tuple(header))).assigned

    def _binding(self, header: Header) -> Binding:
        kind, mapping = self._kind, self._rows.mapping
        return Binding(self._gateway, header, self.effect.names, kind.parameters, self._parameters, mapping)

    @property
    def cautions(self) -> tuple[str, ...]:
        """Cautions to read before approval, and the references in the rows read so far that were not checked."""
        columns = self._opened[1].columns if "_opened" in vars(self) else {}
        is_told = any(one.name in columns or self._parameters.get(one.name) for one in TELLING)
        told_apart = () if is_told or self._kind.special is not Special.PAYMENT else (TOLD_APART,)
        return (*told_apart, *self.effect.cautions, *self._references.notes)

    @property
    def replaces(self) -> Callable[[str], bool] | None:
        never = isinstance(self.effect, CreateEffect) and not self.effect.may_enter_balance
        return None if never else replaces_balance(self._gateway.profile)

    def undo_of(self, run: str, payload: str) -> str | None:
        """The undo that takes back the call of a payload, told its way where it would otherwise only write a list."""
        if all(one.name != WAY for one in self._kind.undo_parameters):
            return super().undo_of(run, payload)
        way = way_that_sends(self._gateway, decode_payload(payload))
        return None if way is None else advised("undo", run, ("set", f"{WAY}={way}"))

    @property
    def source(self) -> Source:
        return self._opened[0]

    async def prepare(self, rows: Sequence[Row]) -> Prepared:
        binding = self._opened[1]
        bound, refused = await binding.bind(rows)
        for one in self._kind.parameters:
            column = binding.columns.get(one.name)
            if not one.refers_to or column is None:
                continue
            values = {row.values[one.name] for row in bound}
            if missing := await self._references.missing(one.refers_to, values):
                gone = [row for row in bound if row.values[one.name] in missing]
                refused += [row.refused(nowhere(one.refers_to, row.values[one.name]), column.name) for row in gone]
                bound = [row for row in bound if row.values[one.name] not in missing]
        planned = await self.effect.plan(bound)
        items = planned.items
        if self._kind.identity:
            items = tuple(replace(item, key=self._kind.key(item.key)) for item in items)
        return Prepared(items, tuple(sorted((*refused, *planned.refusals), key=lambda one: one.line or 0)))

    async def check(self) -> None:
        """Raise `ParameterRefused` if an id given for all rows is not in the billing; also raises `LookUpFailed`."""
        faults = [
            said("{name}: {error}", name=one.name, error=nowhere(one.refers_to, value))
            for one in self._kind.parameters
            if one.refers_to and (value := self._parameters.get(one.name))
            if await self._references.missing(one.refers_to, {value})
        ]
        if faults:
            raise ParameterRefused(in_lines(faults))


def assigned_of(job: Job, header: tuple[str, ...]) -> Assigned:
    """The columns of a job's input by the names of the job; none for an undo.

    The file itself is not read, because a planned run no longer needs it. Raises `InputRefused`.
    """
    return job.assigned(header) if isinstance(job, BillingJob) else Assigned({}, ())


def build(kind: JobSpec, gateway: Gateway, parameters: Mapping[str, str], rows: Input) -> BillingJob:
    """The job of a spec. Raises `ParameterRefused`; its source raises `InputRefused` at the first use."""
    effect = effect_of(gateway, kind, parameters)
    if isinstance(effect, SubscriberSteps):
        from jobs.import_job import ImportJob  # noqa: PLC0415 - it is a job of this file

        return ImportJob(gateway, kind, parameters, rows, effect)
    return InputJob(gateway, kind, parameters, rows, effect)
