"""What the tests of the jobs do over and over: build a job, plan its rows, send them, and take them back."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

import msgspec

from checkpoints.records import Item, NewItem, Run
from engine.evidence import Accepted
from engine.job import Effect, Job, LookUpResult, Prepared, ReadBack
from jobs.access.gateway import Gateway
from jobs.access.payload import encode_payload, payload_of
from jobs.catalogue.catalogue import JOBS
from jobs.effects.effect import CallEffect, ItemToUndo
from jobs.effects.factory import effect_of as made
from jobs.job import BillingJob, build
from jobs.rows.input import Input
from jobs.spec.spec import JobSpec, parameters_of
from tests.checkpoints.samples import sending_item

_NOW: Final = datetime(2026, 3, 1, tzinfo=UTC)
RUN: Final = Run(
    "balances", {}, "billing", "file", run_id=1, name="k7m2q", created_at=_NOW, frozen_at=_NOW, approved_at=_NOW
)
UNDO_RUN: Final = replace(RUN, run_id=2, name="u7u7u", job="undo")
THIRD_RUN: Final = replace(RUN, run_id=3, name="v8v8v", job="undo")


def job_of(gateway: Gateway, kind: JobSpec | str, rows: Input, **given: str) -> BillingJob:
    kind = JOBS[kind] if isinstance(kind, str) else kind
    return build(kind, gateway, parameters_of(kind, given), rows)


def rows_of(text: str, **mapping: str) -> Input:
    """A file with these lines, in a folder that goes when all tests are over."""
    file = Path(mkdtemp(dir=os.environ["TMPDIR"])) / "rows.csv"
    file.write_text(text, encoding="utf-8")
    return Input(file=str(file), mapping=mapping)


async def prepared(job: Job) -> Prepared:
    items: list[NewItem] = []
    refusals = []
    for page in job.source.pages(None):
        done = await job.prepare(page.rows)
        items += done.items
        refusals += [*page.refusals, *done.refusals]
    return Prepared(tuple(items), tuple(refusals))


async def planned(job: Job) -> list[Item]:
    """The items of the job's rows, none of them refused."""
    done = await prepared(job)
    assert done.refusals == ()
    return [sending_item(new, number) for number, new in enumerate(done.items, 1)]


async def refused(job: Job) -> list[str]:
    done = await prepared(job)
    assert done.items == ()
    return [f"{one.line} {one.column}: {one.reason}" for one in done.refusals]


async def sent(does: Job | Effect, items: Sequence[Item], run: Run = RUN) -> list[Item]:
    """The items after their calls, each accepted, with its answer."""
    accepted: list[Item] = []
    for item in items:
        evidence = await effect_behind(does).send(run, item)
        assert isinstance(evidence, Accepted), evidence
        accepted.append(msgspec.structs.replace(item, answer=evidence.answer))
    return accepted


async def with_fresh_before_images(does: CallEffect, items: Sequence[Item]) -> list[Item]:
    """The items with what their calls would overwrite now, as before they are sent."""
    payloads = await does.read_before_images(items)
    return [
        msgspec.structs.replace(one, payload=encode_payload(payloads.get(one.item_id, payload_of(one))))
        for one in items
    ]


async def sightings(does: Job | Effect, items: Sequence[Item], run: Run = RUN) -> list[LookUpResult]:
    seen = await effect_behind(does).look_up(run, items)
    return [seen[item.item_id] for item in items]


async def readings(does: Job | Effect, items: Sequence[Item], run: Run = RUN) -> list[ReadBack]:
    read = await effect_behind(does).read_back(run, items)
    found = [read[item.item_id] for item in items]
    assert all(isinstance(one, ReadBack) for one in found), found
    return [one for one in found if isinstance(one, ReadBack)]


@dataclass(frozen=True, slots=True)
class Undo:
    """What takes items back: the effect, and what became of them."""

    effect: CallEffect
    done: Prepared

    @property
    def items(self) -> list[Item]:
        assert self.done.refusals == ()
        assert [one.skip_reason for one in self.done.items] == [None] * len(self.done.items)
        return [sending_item(new, number) for number, new in enumerate(self.done.items, 1)]

    @property
    def left_alone(self) -> list[str | None]:
        """Why each item is skipped, none of them refused."""
        assert self.done.refusals == ()
        return [one.skip_reason for one in self.done.items]

    @property
    def refused(self) -> list[str]:
        assert self.done.items == ()
        return [one.reason for one in self.done.refusals]


async def undone(effect: CallEffect, items: Sequence[Item], run: Run = RUN, /, **how: str) -> Undo:
    """What takes back the items of a run."""
    reversal = effect.undo(how)
    assert not isinstance(reversal, str), reversal
    return Undo(reversal, await reversal.take_back([taken(item, run) for item in items]))


def effect_of(gateway: Gateway, kind: JobSpec | str, **given: str) -> CallEffect:
    kind = JOBS[kind] if isinstance(kind, str) else kind
    return made(gateway, kind, parameters_of(kind, given))


def effect_behind(does: Job | Effect) -> Effect:
    return does.effect if isinstance(does, Job) else does


def taken(item: Item, run: Run = RUN) -> ItemToUndo:
    return ItemToUndo(
        item_id=item.item_id,
        number=item.number,
        key=f"{run.name}/{item.number}",
        label=item.label,
        payload=payload_of(item),
        amount=item.amount,
        answer=item.answer,
        cells=(run.name, str(item.number), item.key, item.label, str(item.amount or ""), item.answer or ""),
    )
