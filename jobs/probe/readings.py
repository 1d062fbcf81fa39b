"""The facts that a probe learns by reading: errors, models, latencies, columns, shapes of answers."""

import statistics
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import anyio
import msgspec

from billing.api.calls import filter_, get, version
from billing.database.database import Database
from billing.directory.models import plain_value
from billing.profile import Shape
from engine.evidence import Accepted
from jobs.access.gateway import Gateway, as_engine_errors

MODELS: Final = (
    "Abonents",
    "AbonentsBlock",
    "AbonentsBlockHistory",
    "AdminAccounts",
    "ArchAccountStack",
    "AttributeValues",
    "Counters",
    "DjangoUsersProfile",
    "FinanceOperations",
    "Tarif",
    "Users",
    "UsersCache",
    "UsersUsluga",
    "Usluga",
)
"""Models that the recipes and integrators name [S, I]."""
AT_ONCE: Final = (1, 2, 4, 8)
READS: Final = 8
"""Reading calls for each number at once."""


async def error_status(gateway: Gateway) -> int | None:
    """The HTTP status of one of the billing's own errors, None without one."""
    seen, _ = await gateway.client.observe(get("FinanceOperations", {"op_id": 0}).asking("op_id"))
    if isinstance(seen, tuple):
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            outer = msgspec.json.decode(seen[2])
            if isinstance(outer, dict) and outer.get("error"):
                return seen[0]
    return None


async def models(gateway: Gateway) -> tuple[str, ...]:
    asked = {model: await gateway.client.send(filter_(model, {"pk": 0}, "pk")) for model in MODELS}
    return tuple(model for model, evidence in asked.items() if isinstance(evidence, Accepted))


async def latencies(gateway: Gateway) -> Mapping[str, float]:
    """The median time of a reading call in milliseconds, by the calls in flight. Raises `LookUpFailed`."""
    found: dict[str, float] = {}
    for at_once in AT_ONCE:
        times: list[float] = []

        async def one(times: list[float]) -> None:
            begun = time.perf_counter()
            with as_engine_errors():
                await gateway.client.ask(version())
            times.append(time.perf_counter() - begun)

        for _ in range(READS // at_once):
            async with anyio.create_task_group() as group:
                for _ in range(at_once):
                    group.start_soon(one, times)
        found[str(at_once)] = round(1000 * statistics.median(times), 1)
    return found


def columns(database: Database) -> Mapping[str, tuple[str, ...]]:
    """The documented columns that exist, by table, in small letters."""
    by_table: dict[str, list[str]] = {}
    for one in sorted(database.schema.there):
        names = by_table.setdefault(one.table.lower(), [])
        names += [one.name.lower()] if one.name else []
    return {table: tuple(names) for table, names in by_table.items()}


def shape_of(result: object) -> Shape:
    match result:
        case None | "" | True:
            return Shape.NOTHING
        case [dict()]:
            return Shape.LIST
        case {"pk": _, "fields": dict()}:
            return Shape.OBJECT
        case dict() if result:
            return Shape.FIELDS
        case int() | str() if str(result).isdecimal():
            return Shape.ID
    return Shape.OTHER


def threshold_of(result: object) -> str | None:
    """The warning threshold in an account's answer, None if none is set, or none that is an amount."""
    match result:
        case {"fields": {"limit_warning": int() | str() as value}} if value != "":
            with suppress(ValueError):
                return plain_value("limit_warning", value)
    return None
