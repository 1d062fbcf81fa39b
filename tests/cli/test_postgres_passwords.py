"""Passwords of rows with the journal in PostgreSQL: encrypted there, and opened by who has the key alone."""

import base64
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import anyio.to_thread
import pytest

from checkpoints.address import journal_in_postgres
from tests.checkpoints.shells import shell
from tests.cli.conftest import Cli, Place
from tests.postgres_server import PostgresServer

ROWS = 40
KEY = "CARBON_MIGRATE_VAULT_KEY"


@dataclass(frozen=True, slots=True)
class Machines:
    """A billing, and machines that work on it: each a folder with a state of its own, and one journal for all."""

    place: Place
    server: PostgresServer
    journal: str
    root: Path

    def machine(self, name: str, key: Path | None = None, journal: str = "") -> Cli:
        """A machine whose settings name the key of that file."""
        folder = self.root / name
        folder.mkdir()
        if key is not None:
            shutil.copy(key, folder / "vault.key")
            (folder / "carbon-migrate.toml").write_text('vault_key = "vault.key"\n', encoding="utf-8")
        own = {"XDG_STATE_HOME": str(folder / "state"), "CARBON_MIGRATE_JOURNAL": journal or self.journal}
        return Cli(folder, {**self.place.cli.environment, **own})

    def key(self, name: str = "key") -> Path:
        """A file of a key, as `journal key` makes one."""
        return self.root / name

    async def kill(self, cli: Cli, calls: int, *words: str | Path) -> None:
        await replace(self.place, cli=cli).kill_at(calls, *words)

    def passwords(self, users: Sequence[int]) -> dict[int, str]:
        query = "select id, psw from users where id in (:users)"
        return dict(self.place.billing.database.query(query, {"users": users}))

    def kept(self) -> int:
        """The rows of secrets in the journal."""
        with shell(journal_in_postgres(self.journal, self.root)) as server:
            ((number,),) = server.execute("select count(*) from secrets").fetchall()
        return int(number)

    def change(self, sql: str) -> None:
        """What somebody does in the database behind everybody's back."""
        with shell(journal_in_postgres(self.journal, self.root)) as server:
            server.execute(sql)

    def found_in(self, words: Sequence[str]) -> set[str]:
        """The files of all machines, of the server and of a dump that have one of the words, in any spelling."""
        (program,) = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_dump"))[-1:]
        (self.root / "dump.sql").write_bytes(
            subprocess.run([program, self.server.url], capture_output=True, check=True).stdout  # noqa: S603 - ours
        )
        spelled = {form for word in words for form in _spellings(word.encode())}
        return {
            str(path.name)
            for root in (self.root, self.server.folder)
            for path in root.rglob("*")
            if path.is_file() and any(form in data for form in spelled for data in (path.read_bytes(),))
        }


def _spellings(word: bytes) -> Iterator[bytes]:
    yield from (word, word.hex().encode(), word.hex().upper().encode())
    # Of what follows some other byte, the letters that depend on this word alone.
    for before in range(3):
        yield base64.b64encode(b"\0" * before + word)[before + 1 : -4]


@pytest.fixture
def machines(place: Place, postgres_server: PostgresServer, tmp_path: Path) -> Machines:
    root = tmp_path / "machines"
    root.mkdir()
    place.traffic.model = "Users"
    return Machines(place, postgres_server, postgres_server.new_journal(), root)


@pytest.fixture
def rows(machines: Machines) -> dict[int, str]:
    """The accounts with their new passwords."""
    query = "select first :rows id from users where deleted = 0 order by id"
    found = machines.place.billing.database.query(query, {"rows": ROWS})
    return {user: f"Sekret-{user:04d}-Пароль" for (user,) in found}


def _file(cli: Cli, rows: dict[int, str]) -> Path:
    path = cli.folder / "rows.csv"
    path.write_text("\n".join(["user_id;psw", *(f"{user};{psw}" for user, psw in rows.items())]), encoding="utf-8")
    return path


async def _two_keys(machines: Machines) -> tuple[Path, Path]:
    cli = machines.machine("desk")
    for name in ("key", "new"):
        await cli("journal", "key", machines.key(name))
    return machines.key(), machines.key("new")


async def test_passwords_are_set_by_another_machine_and_stand_nowhere_in_clear(
    machines: Machines, rows: dict[int, str]
) -> None:
    key, new = await _two_keys(machines)
    assert key.stat().st_mode & 0o777 == 0o600
    assert "is there already" in (await machines.machine("else")("journal", "key", key, may_end_with=(2,))).words
    machines.place.billing.latency = 0.01
    first = machines.machine("first", key)
    path = _file(first, rows)
    await machines.kill(first, 15, "run", "password", path, "--yes", "--in-flight", "4")
    path.unlink()
    assert machines.kept() == ROWS

    # Without the key, and with another: nothing is sent, and nothing is lost.
    calls = machines.place.traffic.arrived
    for name, with_key, why in (("none", None, "no key is set"), ("wrong", new, "Add the key of the machine")):
        cli = machines.machine(name, with_key)
        refused = await cli("resume", may_end_with=(2,))
        assert why in refused.words
        assert "Nothing was sent" in refused.words
        checked = await cli("doctor", may_end_with=(2,))
        assert why in " ".join(checked.out.split())
    assert machines.kept() == ROWS
    found = await anyio.to_thread.run_sync(machines.found_in, [*rows.values(), key.read_text().strip()])
    assert found == {"key", "vault.key"}

    # The old key opens, also behind a new one that encrypts.
    both = machines.key("both")
    both.write_text(new.read_text() + key.read_text())
    both.chmod(0o600)
    second = machines.machine("second", both)
    assert f"{ROWS} secrets are kept" in " ".join((await second("doctor", may_end_with=(0, 2))).out.split())
    closing = (await second("resume", "--settle", "0.1", "--json")).closing
    assert closing["states"] == {"accepted": ROWS}
    assert machines.passwords(list(rows)) == rows
    assert machines.kept() == 0
    assert machines.place.traffic.arrived - calls < 2 * ROWS
