"""What a probe has learned changes what a job does."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import msgspec
import pytest

from billing.api.client import BillingClient, ClientSettings, Patience
from billing.profile import UNKNOWN, Fact, Profile, TypeEight
from engine.errors import InputRefused
from engine.evidence import Accepted, Lost
from engine.job import Found
from jobs.access.gateway import Gateway
from jobs.catalogue.money import BALANCES
from lab.mock.quirks import Quirks
from lab.mock.server import running
from tests.jobs.making import RUN, job_of, planned, rows_of

DAY = date(2026, 11, 25)
ONE = "abonent_id;amount\n9001;12,50\n"


def known(**facts: object) -> Profile:
    learned = {name: Fact(value, DAY) for name, value in facts.items()}
    return msgspec.structs.replace(UNKNOWN, **learned)


@pytest.fixture
def quirks() -> Quirks:
    return Quirks()


@pytest.fixture
async def alone(billing_file: Path, quirks: Quirks) -> AsyncIterator[Gateway]:
    """A billing with quirks, reached through its API alone."""
    async with (
        running(billing_file, quirks=quirks) as server,
        BillingClient(ClientSettings(server.url), patience=Patience(attempts=1)) as client,
    ):
        yield Gateway(client)


@pytest.mark.parametrize("quirks", [Quirks(descr_length=60)])
async def test_a_short_comment_leaves_room_for_the_mark(alone: Gateway, tmp_path: Path) -> None:
    gateway = replace(alone, profile=known(descr_length=60))
    rows = rows_of(tmp_path, ONE)
    with pytest.raises(InputRefused, match="keeps 60 characters of a comment"):
        await planned(job_of(gateway, BALANCES, rows, descr="а" * 29))
    job = job_of(gateway, BALANCES, rows, descr="а" * 28)
    (item,) = await planned(job)
    assert isinstance(await job.effect.send(RUN, item), Accepted)
    assert isinstance((await job.effect.look_up(RUN, [item]))[item.item_id], Found)


@pytest.mark.parametrize(
    ("facts", "why"), [({"descr_kept": False}, "does not keep comments"), ({"descr_length": 20}, "a mark needs 32")]
)
async def test_without_a_mark_nothing_is_entered(
    alone: Gateway, tmp_path: Path, facts: dict[str, object], why: str
) -> None:
    gateway = replace(alone, profile=known(**facts))
    with pytest.raises(InputRefused, match=why):
        await planned(job_of(gateway, BALANCES, rows_of(tmp_path, ONE)))


@pytest.mark.parametrize("quirks", [Quirks(descr_returned=False)])
@pytest.mark.parametrize(("profile", "evidence"), [(UNKNOWN, Accepted), (known(descr_returned=True), Lost)])
async def test_a_billing_that_is_known_to_tell_comments_has_answered_somebody_else(
    alone: Gateway, tmp_path: Path, profile: Profile, evidence: type
) -> None:
    job = job_of(replace(alone, profile=profile), BALANCES, rows_of(tmp_path, ONE))
    (item,) = await planned(job)
    assert isinstance(await job.effect.send(RUN, item), evidence)


@pytest.mark.parametrize("quirks", [Quirks(descr_filters="all")])
async def test_a_known_filter_narrows_the_look(alone: Gateway, tmp_path: Path) -> None:
    job = job_of(replace(alone, profile=known(descr_filters=("exact", "contains"))), BALANCES, rows_of(tmp_path, ONE))
    (item,) = await planned(job)
    await job.effect.send(RUN, item)
    assert isinstance((await job.effect.look_up(RUN, [item]))[item.item_id], Found)
    other = replace(RUN, name="x1x1x")
    assert not isinstance((await job.effect.look_up(other, [item]))[item.item_id], Found)


async def test_what_no_probe_has_confirmed_is_named(alone: Gateway, tmp_path: Path) -> None:
    rows = rows_of(tmp_path, ONE)

    async def named(profile: Profile, **given: str) -> list[str]:
        job = job_of(replace(alone, profile=profile), BALANCES, rows, **given)
        return list(job.assumptions(await planned(job)))

    assert await named(UNKNOWN) == [
        "a comment is kept as it was sent",
        "a comment holds 255 characters",
        "an operation of type 8 sets the balance to its sum",
    ]
    kept = known(descr_kept=True, descr_length=255)
    assert await named(kept) == ["an operation of type 8 sets the balance to its sum"]
    assert await named(kept, op_type="2") == ["an operation of type 2 raises the balance by its sum"]
    assert await named(known(descr_kept=True, descr_length=255, act_type=1), op_type="1") == []
    assert await named(known(descr_kept=True, descr_length=255, type_8=TypeEight.ADDS)) == []
