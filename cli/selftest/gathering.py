"""What journal and billing have in the end, read for the verdict."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import anyio.to_thread
import msgspec

from billing.database import Database, Dsn
from billing.money import from_answer, roubles
from checkpoints.journal import open_journal
from checkpoints.records import Item, Totals
from checkpoints.states import State
from cli.selftest.checking import Books, Effect, Row
from cli.selftest.loading import FOLDER, Asked
from cli.selftest.plan import BALANCES, MODELS, Plan
from cli.selftest.statements import statement
from cli.selftest.watching import Watched
from jobs.marks import find


async def books(plan: Plan, asked: Asked, watched: Watched, billing: Path, run: str, verified: int) -> Books:
    """The books of a round that is over; nothing may be working on either side any more."""
    steps = watched.steps()
    items, totals = await _journal(watched.path, run)
    effects, entered, ends = await anyio.to_thread.run_sync(_ledger, plan, billing)
    return Books(
        run=run,
        model=MODELS[plan.job],
        once=plan.job == BALANCES,
        asked=asked.wanted,
        rows=[_row(item, plan) for item in items],
        effects=effects,
        frozen=totals.frozen,
        sum=totals.amount,
        steps=steps,
        verified=verified,
        entered=entered,
        ends=ends,
    )


async def _journal(path: Path, name: str) -> tuple[list[Item], Totals]:
    async with open_journal(path) as journal:
        run = await journal.run(name)
        items = [item async for page in journal.each_page(run, frozenset(State)) for item in page]
        return items, await journal.totals(run)


def _row(item: Item, plan: Plan) -> Row:
    payload = msgspec.json.decode(item.payload)
    once = plan.job == BALANCES
    return Row(
        number=item.number,
        key=item.key,
        label=item.label,
        subject=int(item.key if once else item.lane.removeprefix("account:")),
        wanted=Decimal(payload["op_summa" if once else "limit_warning"]),
        state=item.state,
        attempts=item.attempts,
    )


def _ledger(plan: Plan, billing: Path) -> tuple[list[Effect], tuple[int, Decimal] | None, dict[str, Decimal | None]]:
    with Database(Dsn(str(billing))) as database:
        effects = list(_effects(database))
        if plan.job == BALANCES:
            ((count, scaled),) = database.query(statement("operations"))
            return effects, (count, roubles(scaled)), {}
        thresholds = database.query(statement("thresholds"), {"folder": FOLDER})
        return effects, None, {str(key): None if value is None else roubles(value) for key, value in thresholds}


def _effects(database: Database) -> Iterator[Effect]:
    for model, request, subject, what in database.query(statement("effects")):
        written = msgspec.json.decode(what, type=dict[str, object])
        value = written.get("op_summa", written.get("limit_warning"))
        amount = from_answer(value) if isinstance(value, str | int | float) else None
        yield Effect(model, request, subject, amount, find(str(written.get("descr", ""))))
