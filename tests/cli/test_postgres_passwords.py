"""Passwords of rows with the journal in PostgreSQL: encrypted there, and opened by who has the key alone."""

import base64
import shutil
import subprocess
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import anyio.to_thread
import pytest

from jobs.access.vault import vault_path
from tests.cli.conftest import Cli, Place
from tests.postgres_server import PostgresServer

ROWS = 40
BEGINNING = "Sekret-Passwort-"
"""What each password begins with, long enough to be found by in any spelling."""


@dataclass(frozen=True, slots=True)
class Machines:
    """A billing, and machines that work on it: each a folder with a state of its own, and one journal for all."""

    place: Place
    server: PostgresServer
    root: Path

    def machine(self, name: str, key: Path | None = None, journal: str = "") -> Cli:
        """A machine whose settings name the key of that file."""
        made = self.place.cli.on_machine(name, journal)
        if key is not None:
            shutil.copy(key, made.folder / "vault.key")
            (made.folder / "carbon-migrate.toml").write_text('vault_key = "vault.key"\n', encoding="utf-8")
        return made

    def key(self, name: str = "key") -> Path:
        """A file of a key, as `journal key` makes one."""
        return self.root / name

    def both_keys(self) -> Path:
        """A file of the new key, which encrypts, and behind it the old one."""
        both = self.key("both")
        both.write_text(self.key("new").read_text() + self.key().read_text())
        both.chmod(0o600)
        return both

    async def kill(self, cli: Cli, calls: int, *words: str | Path) -> None:
        await replace(self.place, cli=cli).kill_at(calls, *words, "--yes")

    def passwords(self, users: Collection[int]) -> dict[int, str]:
        return dict(self.place.query("select id, psw from users where id in (:users)", users=list(users)))

    def kept(self) -> int:
        """The rows of secrets in the journal."""
        ((number,),) = self.place.asked("select count(*) from secrets")
        return int(number)

    def found_in(self, words: Sequence[str]) -> set[str]:
        """The files of all machines, of the server and of a dump that have one of the words, in any spelling.

        The billing itself is left out.
        """
        (program,) = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_dump"))[-1:]
        (self.root / "dump.sql").write_bytes(
            subprocess.run([program, self.server.url], capture_output=True, check=True).stdout  # noqa: S603 - ours
        )
        spelled = {form for word in words for form in _spellings(word.encode())}
        return {
            str(path.name)
            for root in (self.root, self.server.folder)
            for path in root.rglob("*")
            if path.is_file()
            and path != self.place.file
            and any(form in data for form in spelled for data in (path.read_bytes(),))
        }


def _spellings(word: bytes) -> Iterator[bytes]:
    yield from (word, word.hex().encode(), word.hex().upper().encode())
    # Of what follows some other byte, the letters that depend on this word alone.
    for before in range(3):
        yield base64.b64encode(b"\0" * before + word)[before + 1 : -4]


@pytest.fixture
async def machines(shared: Place, postgres_server: PostgresServer) -> Machines:
    shared.traffic.model = "Users"
    made = Machines(shared, postgres_server, shared.cli.folder.parent)
    for name in ("key", "new"):
        await made.machine("desk")("journal", "key", made.key(name))
    return made


@pytest.fixture
def rows(machines: Machines) -> dict[int, str]:
    """The accounts with their new passwords."""
    found = machines.place.query("select first :rows id from users where deleted = 0 order by id", rows=ROWS)
    return {user: f"{BEGINNING}{user:04d}-Пароль" for (user,) in found}


def _file(cli: Cli, rows: dict[int, str]) -> Path:
    path = cli.folder / "rows.csv"
    lines = ["user_id;psw", *(f"{user};{psw}" for user, psw in rows.items())]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


async def test_passwords_are_set_by_another_machine_and_stand_nowhere_in_clear(
    machines: Machines, rows: dict[int, str]
) -> None:
    key, new = machines.key(), machines.key("new")
    assert key.stat().st_mode & 0o777 == 0o600
    await machines.machine("else").refused("journal", "key", key, says="is there already")
    machines.place.billing.latency = 0.01
    first = machines.machine("first", key)
    path = _file(first, rows)
    await machines.kill(first, 15, "run", "password", path, "--in-flight", "4")
    path.unlink()
    assert machines.kept() == ROWS

    # Without the key, and with another: nothing is sent, and nothing is lost.
    calls = machines.place.traffic.arrived
    for name, with_key, why in (("none", None, "no key is set"), ("wrong", new, "Add the key of the machine")):
        cli = machines.machine(name, with_key)
        await cli.refused("resume", says=[why, "Nothing was sent"])
        assert why in await cli.told("doctor", ends=2)
    assert machines.kept() == ROWS
    found = await anyio.to_thread.run_sync(machines.found_in, [BEGINNING, key.read_text().strip()])
    assert found == {"key", "vault.key"}

    # The old key opens, also behind a new one that encrypts.
    second = machines.machine("second", machines.both_keys())
    assert f"{ROWS} secrets are kept" in (await second("doctor", may_end_with=(0, 2))).told
    assert (await second.closing("resume", "--settle", "0.1"))["states"] == {"accepted": ROWS}
    assert machines.passwords(rows) == rows
    assert machines.kept() == 0
    assert machines.place.traffic.arrived - calls < 2 * ROWS


async def test_a_changed_or_exchanged_secret_is_refused_as_such(machines: Machines, rows: dict[int, str]) -> None:
    first = machines.machine("first", machines.key())
    await machines.kill(first, 3, "run", "password", _file(first, rows), "--in-flight", "1")
    # One with other bytes, and two that stand in each other's place.
    machines.place.asked(
        "with last as (select token, sealed, row_number() over (order by item_id desc) as place from items "
        "join secrets on strpos(items.payload, token) > 0), "
        "changed as (select a.token, case when a.place = 1 then overlay(a.sealed placing "
        "case when substr(a.sealed, 9, 1) = 'A' then 'B' else 'A' end from 9) else b.sealed end as sealed "
        "from last a join last b on b.place = case a.place when 2 then 3 when 3 then 2 else a.place end "
        "where a.place <= 3) "
        "update secrets set sealed = changed.sealed from changed where secrets.token = changed.token"
    )
    ended = await first("resume", "--settle", "0.1", "--json", may_end_with=(1,))
    assert ended.closing["states"] == {"accepted": ROWS - 3, "rejected": 3}
    assert "was changed in the journal since it was encrypted" in ended.words
    found = machines.passwords(rows)
    assert {user for user in rows if found[user] != rows[user]} == set([*rows][-3:])


async def test_without_a_key_nothing_is_read_of_rows_with_passwords_and_others_need_none(
    machines: Machines, rows: dict[int, str]
) -> None:
    cli = machines.machine("first")
    await cli.refused("run", "password", _file(cli, rows), "--yes", says="carbon-migrate journal key")
    step = cli.folder / "job.toml"
    step.write_text('[[step]]\njob = "password"\nset.user_id = "1"\nset.psw = "Sekret-1"\n', encoding="utf-8")
    await cli.refused("run", step, "--yes", says="no key is set")
    assert "no run" in (await cli.told("status")).lower()
    await cli("run", "balances", machines.place.balances(3).path, "--yes")


async def test_a_journal_is_copied_with_the_passwords_of_its_open_run(
    machines: Machines, rows: dict[int, str]
) -> None:
    shared = machines.place.cli.environment["CARBON_MIGRATE_JOURNAL"]
    first = machines.machine("first", machines.key())
    file = first.folder / "file.journal"
    journal = ("--journal", file)
    await machines.kill(first, 5, "run", "password", _file(first, rows), "--in-flight", "2", *journal)

    # Without a key there is no copy; with one it is equal, and of the file it says that it has them still.
    await machines.machine("none").refused("journal", "copy", file, shared, says="no key is set")
    assert f"rm {file}-secrets" in await first.told("journal", "copy", file, shared)
    assert machines.kept() == ROWS

    # With another key into a journal beside it, and from there into a file again.
    other = machines.server.new_journal()
    await machines.machine("second", machines.both_keys())("journal", "copy", shared, other)
    third = machines.machine("third", machines.key("new"), other)
    back = third.folder / "back.journal"
    await first.refused("journal", "copy", other, back, says="Add the key of the machine")
    assert not vault_path(back).exists()
    assert (await third.closing("journal", "copy", other, back))["secrets"] == ROWS
    resumed = await third.closing("resume", "--settle", "0.1", "--journal", back)
    assert resumed["states"] == {"accepted": ROWS}
    assert machines.passwords(rows) == rows
