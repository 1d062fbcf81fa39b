"""The probe creates a subscriber where it is told to, learns which fields a create takes, and leaves nothing."""

import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import anyio
import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from billing.database.database import attach
from billing.database.dsn import Dsn
from lab.mock.leaving_out import leave_out
from lab.mock.server import running
from tests.cli.conftest import PATIENCE, Cli, Ended, Place, Traffic, clean_environment

Opened = Callable[..., AbstractAsyncContextManager[Place]]
SETTLE = ("--settle", "0.2")
OWN = (
    "select id from abonents where (contract_number starting with 'cm-probe-' or name starting with 'cm-probe-') "
    "and deleted = 0"
)
LIKE = (
    "select first 1 a.id, a.parent_id from abonents a join users_usluga c on c.abonent_id = a.id "
    "join users u on u.abonent_id = a.id where a.is_folder = 0 and a.deleted = 0 and c.deleted = 0 and u.deleted = 0 "
    "and (select count(*) from abonents b where b.account_id = a.account_id) = 1"
)
"""A subscriber with an account and a service, and its folder."""


class CreateWatch:
    """Holds the answer to the creation of an object, which has its effect."""

    def __init__(self, model: str) -> None:
        self.created = anyio.Event()
        self.answered = anyio.Event()
        self._model = model

    @web.middleware
    async def hold(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        form = await request.post()
        answer = await handler(request)
        if form.get("method1") == "objects.create" and request.path.endswith(f"/{self._model}/"):
            self.created.set()
            await self.answered.wait()
        return answer


@pytest.fixture
def opened(billing_file: Path, tmp_path: Path) -> Opened:
    """Opens a place whose billing lacks columns, and whose stacks are slow where told so."""

    @asynccontextmanager
    async def open_place(
        *without: str, stack_rate: float = 0.0, watch: CreateWatch | None = None
    ) -> AsyncIterator[Place]:
        folder = tmp_path / "work"
        folder.mkdir()
        traffic = Traffic()
        connection = attach(Dsn(str(billing_file)))
        for name in without:
            leave_out(connection, name)
        connection.close()
        middlewares = [traffic.count, *([watch.hold] if watch else [])]
        async with running(Dsn(str(billing_file)), middlewares=middlewares, stack_rate=stack_rate) as billing:
            environment = clean_environment() | {
                "CARBON_MIGRATE_API_URL": billing.url,
                "CARBON_MIGRATE_DATABASE": str(billing_file),
                "XDG_STATE_HOME": str(folder / "state"),
                "COLUMNS": "200",
            }
            yield Place(Cli(folder, environment), billing, traffic, billing_file)

    return open_place


def like(place: Place) -> tuple[str, str]:
    """The subscriber that is probed, and the folder in which one is created."""
    ((abonent, folder),) = place.billing.database.query(LIKE)
    return str(abonent), str(folder)


async def probe(place: Place, *more: str, may_end_with: tuple[int, ...] = (0,)) -> Ended:
    abonent, _ = like(place)
    return await place.cli(
        "probe", "--abonent", abonent, "--yes", "--json", *SETTLE, *more, may_end_with=may_end_with
    )


def left(place: Place) -> list[object]:
    """What is there of a probe: its subscribers, and the files of its intents."""
    return [*place.billing.database.query(OWN), *(place.cli.folder / "state").rglob("*.probe*")]


async def test_the_fields_that_a_create_takes_are_learned(opened: Opened) -> None:
    async with opened("USERS.SNATIP") as place:
        closing = (await probe(place, "--create-in", like(place)[1])).closing
        fields = closing["learned"]["create_fields"]
        assert fields["Abonents"].items() >= {"contract_number": True, "name": True, "sms": True}.items()
        assert fields["Users"].items() >= {"login": True, "psw": True, "snatip": False}.items()
        assert fields["UsersUsluga"].items() >= {"usluga_id": True, "comment": True}.items()
        assert closing["learned"]["delete_answers"] == "nothing"
        assert closing["created_left"] == []
        assert left(place) == []
        profile = next((place.cli.folder / "state").rglob("*.profile.toml")).read_text(encoding="utf-8")
        assert "snatip = false" in profile
        doctor = await place.cli("doctor", may_end_with=(0, 1, 2))
        told = " ".join(doctor.out.split())
        assert "objects.create takes these fields: Abonents (name, is_folder, parent_id, contract_number" in told
        assert "; not snatip), UsersUsluga (" in told


async def test_it_says_first_what_it_will_create(opened: Opened) -> None:
    async with opened() as place:
        abonent, folder = like(place)
        ended = await place.cli("probe", "--abonent", abonent, "--create-in", folder, may_end_with=(2,))
        assert f"create a folder in the folder {folder}, and a subscriber in it" in ended.words
        assert "no terminal to confirm on" in ended.words
        refused = await probe(place, "--create-in", abonent, may_end_with=(2,))
        assert "there is no folder" in refused.closing["error"]
        assert left(place) == []


async def test_a_create_that_is_applied_late_is_waited_for(opened: Opened) -> None:
    async with opened(stack_rate=20.0) as place:
        closing = (await probe(place, "--create-in", like(place)[1])).closing
        assert closing["learned"]["create_fields"]["UsersUsluga"]["usluga_id"] is True
        assert closing["created_left"] == []
        assert left(place) == []


async def test_a_probe_that_was_killed_while_it_created_is_cleaned_up_by_the_next(opened: Opened) -> None:
    watch = CreateWatch("UsersUsluga")
    async with opened(watch=watch) as place:
        abonent, folder = like(place)
        async with place.cli.started(
            "probe", "--abonent", abonent, "--create-in", folder, "--yes", *SETTLE
        ) as started:
            with anyio.fail_after(PATIENCE):
                await watch.created.wait()
            started.signal(signal.SIGKILL)
            await started.process.wait()
        watch.answered.set()
        await place.billing.wait_for_requests()
        assert left(place) != []
        closing = (await probe(place)).closing
        assert closing["created_left"] == []
        assert left(place) == []
