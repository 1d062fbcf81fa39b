"""Jobs on passwords in real processes: no password stands where it must not, whatever is killed and resumed."""

import base64
import shutil
import stat
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import anyio.to_thread
import pytest

from billing.secret import Secret
from checkpoints.journal import open_journal
from checkpoints.records import NewItem, NewRun, Page
from checkpoints.states import State
from cli.session.order import identity, parse_order, wipe_secrets
from cli.session.run_session import finish_run, give_up
from jobs.access.vault import BATCH, Vault, is_token, vault_path
from jobs.catalogue.catalogue import BUILT_IN
from jobs.rows.input import Input
from jobs.spec.errors import SecretGone
from tests.checkpoints.samples import come_to
from tests.cli.conftest import Cli, Place, Typed
from tests.cli.flows import Flow, flow
from tests.postgres_server import PostgresServer

ROWS = 40
SECRETS = "carbon-migrate.journal-secrets"
FOR_ALL = "Sekret-fuer-alle"
WORD = "Sekret-7"


def accounts(flow: Flow) -> list[int]:
    return [key for (key,) in flow.query(f"select first {ROWS} id from users where deleted = 0 order by id")]  # noqa: S608 - a number


def passwords(flow: Flow, users: Sequence[int]) -> list[tuple[int, str, str]]:
    return flow.query("select id, login, psw from users where id in (:users) order by id", users=users)


def word(user: int) -> str:
    """The password of a row; every fourth says nothing and gets what is given for all."""
    return "" if user % 4 == 0 else f"Sekret-{user:04d}-Wort"


@pytest.mark.loops(120)
async def test_passwords_that_are_given_stand_in_their_files_alone_whatever_is_killed(
    billing_template: Path, tmp_path: Path
) -> None:
    async with flow(billing_template, tmp_path / "password") as one:
        users = accounts(one)
        words = [word(user) for user in users if word(user)] + [FOR_ALL]

        def killed() -> None:
            assert one.files_with(words) == {"rows.csv", "job.toml", SECRETS}
            assert stat.S_IMODE((one.folder / SECRETS).stat().st_mode) == 0o600

        file = one.rows("login;новый пароль", *(f"user{user};{word(user)}" for user in users))
        # On a command line it would be refused.
        for_all = one.write(f'[[step]]\njob = "password"\nfile = "{file}"\nset.psw = "{FOR_ALL}"\n', "job.toml")
        closing = await one.go(for_all, kill_at=15, killed=killed, verify_ends_with=4)
        assert closing["states"] == {"accepted": ROWS}
        # Nor are they shown, or exported.
        told = await one.cli("status", closing["run"])
        await one.cli("export", closing["run"])
        assert not any(word in told.out + told.err for word in words)
        exported = (one.folder / f"{closing['run']}-accepted.csv").read_text("utf-8-sig").splitlines()
        assert exported[1].startswith(f"user{users[0]};•••;")
        assert one.files_with(words) == {"rows.csv", "job.toml"}
        assert passwords(one, users) == [(user, f"user{user}", word(user) or FOR_ALL) for user in users]


async def test_passwords_that_are_not_in_their_file_are_named_and_the_run_does_not_end_with_0(
    billing_template: Path, tmp_path: Path
) -> None:
    """After a kill: as a spreadsheet saves it, gone, without some lines, and whole again."""
    async with flow(billing_template, tmp_path / "one") as one:
        one.rows("login", *(f"user{user}" for user in accounts(one)))
        pacing = ("--set", "to=out.csv", "--yes", "--in-flight", "2", "--no-canary")
        await one.kill_at(41, "run", "random-password", "rows.csv", *pacing)
        out, resume, before = one.folder / "out.csv", ("resume", "--yes", "--settle", "0.1"), one.traffic.arrived
        kept = out.read_bytes()
        assert stat.S_IMODE(out.stat().st_mode) == 0o600
        out.write_text(out.read_text(encoding="utf-8-sig").replace(";run ", "\t"), encoding="utf-8")
        await one.cli.refused(*resume, says="is not the file of this run")
        assert one.traffic.arrived == before
        out.write_bytes(kept)
        written = out.rename(one.folder / "elsewhere.csv").read_text(encoding="utf-8-sig").splitlines()[1:]
        assert one.files_with([line.split(";")[2] for line in written]) == {"elsewhere.csv"}
        ended = await one.cli(*resume, "--json", may_end_with=(1,))
        assert ended.closing["states"] == {"accepted": ROWS}
        for told in (ended.words, ended.closing["error"]):
            assert "nobody knows them" in told
            assert any(line.split(";")[1] in told for line in written)
        # Before anything was sent, and at the end.
        assert ended.words.count("nobody knows them") >= 2
        # A run that is at its end is asked again, names what is still missing, and is content once it is all there.
        again = ("resume", ended.closing["run"], "--json")
        assert "nobody knows them" in (await one.cli(*again, may_end_with=(1,))).told
        gone, blank, *rest = written
        with out.open("a", encoding="utf-8", newline="") as file:
            file.writelines(f"{line}\r\n" for line in (";".join([*blank.split(";")[:2], ""]), *rest))
        few = await one.cli(*again, may_end_with=(1,))
        assert "the passwords of 2 accounts are not in" in few.told
        assert [line for line in (gone, blank) if line.split(";")[1] not in few.closing["error"]] == []
        with out.open("a", encoding="utf-8", newline="") as file:
            file.writelines(f"{line}\r\n" for line in (gone, blank))
        assert f"{ROWS} passwords are in" in (await one.cli(*again)).words


def test_what_a_run_remembers_of_a_secret_is_a_token() -> None:
    order = parse_order("password", Input(), {"user_id": "5", "psw": WORD}, BUILT_IN)
    assert WORD not in repr(order)
    assert WORD not in str(order.to_parameters())
    token = order.to_parameters()["psw"]
    assert is_token(token)
    assert order.secrets == {token: Secret(WORD)}
    assert token.startswith(f"•••{order.to_parameters()[BATCH]}.")
    assert BATCH not in parse_order("at-ip", Input(), {"ip": "10.0.0.1"}, BUILT_IN).to_parameters()
    # With another word it is the same run all the same: nobody can tell.
    other = parse_order("password", Input(), {"user_id": "5", "psw": "anders"}, BUILT_IN)
    assert identity(other.to_parameters()) == identity(order.to_parameters())


def test_a_file_of_passwords_that_is_there_is_refused_before_anything(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("mine", encoding="utf-8")
    arguments = ("run", "random-password", "--set", "user_id=5", "--yes", "--api-url", "http://127.0.0.1:9", "--set")
    for to, why in (("out.csv", "is there already"), ("nowhere/out.csv", "there is no folder")):
        typed.refused(*arguments, f"to={to}", says=why)
    assert not (tmp_path / "carbon-migrate.journal").exists()
    assert (tmp_path / "out.csv").read_text("utf-8") == "mine"


@pytest.mark.parametrize(
    ("state", "kept"), [(State.ACCEPTED, False), (State.REJECTED, False), (State.MANUAL, True), (State.PENDING, True)]
)
async def test_secrets_are_wiped_when_nothing_may_be_sent_any_more(tmp_path: Path, state: State, kept: bool) -> None:
    path = tmp_path / "journal"
    vault, other = Vault(vault_path(path), "a" * 16), Vault(vault_path(path), "b" * 16)
    (token,), (others,) = vault.seal([WORD]), other.seal(["anders"])
    async with open_journal(path) as journal:
        run = await journal.create_run(NewRun("password", {BATCH: "a" * 16}, "billing", "file"))
        await journal.create_run(NewRun("password", {BATCH: "b" * 16}, "billing", "file"))
        await journal.freeze(run, Page((NewItem("5", "5", "5", "{}"),), (), "1"), lambda item, _: item)
        await journal.end_intake(run)
        await journal.approve(run)
        await come_to(journal, run, {1: state})
        await finish_run(run, journal, BUILT_IN, await journal.totals(run), anew=True)
    assert other.open([others]) == {others: "anders"}
    assert (WORD.encode() in vault_path(path).read_bytes()) == kept
    if not kept:
        with pytest.raises(SecretGone):
            vault.open([token])


async def test_a_run_that_is_given_up_takes_its_secrets_with_it(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    Vault(vault_path(path), "a" * 16).seal([WORD])
    async with open_journal(path) as journal:
        run = await journal.create_run(NewRun("password", {BATCH: "a" * 16}, "billing", "file"))
        async with journal.taken_up(run):
            await give_up(run, journal)
        # Somebody works on it.
        assert WORD.encode() in vault_path(path).read_bytes()
        await give_up(run, journal)
        assert WORD.encode() not in vault_path(path).read_bytes()
        # Who meets it at the same moment finds it given up.
        await give_up(run, journal)
        # A vault that cannot be wiped ends no run.
        vault_path(path).write_text("no database" * 500, encoding="utf-8")
        await wipe_secrets(run, journal)


# ---- the journal in PostgreSQL: passwords are encrypted there, and opened by who has the key alone -----------------

ACCOUNTS = 40
BEGINNING = "Sekret-Passwort-"
"""What each password begins with, long enough to be found by in any spelling."""


@dataclass(frozen=True, slots=True)
class Machines:
    """A billing, and machines that work on it: each a folder with a state of its own, and one journal for all."""

    place: Place
    server: PostgresServer
    root: Path

    def machine(self, name: str, key: Path | None = None, journal: str = "") -> Cli:
        made = self.place.cli.on_machine(name, journal)
        if key is not None:
            shutil.copy(key, made.folder / "vault.key")
            (made.folder / "carbon-migrate.toml").write_text('vault_key = "vault.key"\n', encoding="utf-8")
        return made

    def key(self, name: str = "key") -> Path:
        return self.root / name

    def kept(self) -> int:
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
    found = machines.place.query("select first :rows id from users where deleted = 0 order by id", rows=ACCOUNTS)
    return {user: f"{BEGINNING}{user:04d}-Пароль" for (user,) in found}


def _file(cli: Cli, rows: dict[int, str]) -> Path:
    path = cli.folder / "rows.csv"
    path.write_text("\n".join(["user_id;psw", *(f"{user};{psw}" for user, psw in rows.items()), ""]), "utf-8")
    return path


async def test_passwords_are_set_by_another_machine_and_stand_nowhere_in_clear(
    machines: Machines, rows: dict[int, str]
) -> None:
    """Killed with a journal in a file, copied into PostgreSQL, and resumed there by a machine that has the key."""
    key, new = machines.key(), machines.key("new")
    assert key.stat().st_mode & 0o777 == 0o600
    none, first = machines.machine("none"), machines.machine("first", key)
    await none.refused("journal", "key", key, says="is there already")
    # Without a key nothing is read of rows with passwords.
    await none.refused("run", "password", _file(none, rows), "--yes", says="carbon-migrate journal key")
    step = none.folder / "job.toml"
    step.write_text('[[step]]\njob = "password"\nset.user_id = "1"\nset.psw = "Sekret-1"\n', encoding="utf-8")
    await none.refused("run", step, "--yes", says="no key is set")
    assert "no run" in (await none.told("status")).lower()

    # Nor is a journal copied; of the file it is said that it has them still.
    file, shared = first.folder / "file.journal", machines.place.cli.environment["CARBON_MIGRATE_JOURNAL"]
    machines.place.billing.latency = 0.01
    run = ("run", "password", _file(first, rows), "--in-flight", "4", "--journal", file)
    await replace(machines.place, cli=first).kill_at(15, *run, "--yes")
    await none.refused("journal", "copy", file, shared, says="no key is set")
    await first.told("journal", "copy", file, shared, says=f"rm {file}-secrets")
    assert machines.kept() == ACCOUNTS
    for path in (vault_path(file), first.folder / "rows.csv", none.folder / "rows.csv"):
        path.unlink()

    # Without the key, and with another: nothing is sent, and nothing is lost.
    calls = machines.place.traffic.arrived
    for cli, why in ((none, "no key is set"), (machines.machine("wrong", new), "Add the key of the machine")):
        await cli.refused("resume", says=[why, "Nothing was sent"])
        await cli.told("doctor", ends=2, says=why)
    assert machines.kept() == ACCOUNTS
    found = await anyio.to_thread.run_sync(machines.found_in, [BEGINNING, key.read_text().strip()])
    assert found == {"key", "vault.key"}

    # With another key into a journal beside it, and from there into a file again.
    both = machines.key("both")
    both.write_text(new.read_text() + key.read_text())
    both.chmod(0o600)
    second, other = machines.machine("second", both), machines.server.new_journal()
    await second("journal", "copy", shared, other)
    third = machines.machine("third", new, other)
    back = third.folder / "back.journal"
    await first.refused("journal", "copy", other, back, says="Add the key of the machine")
    assert not vault_path(back).exists()
    copied = await third.closing("journal", "copy", other, back)
    assert (copied["secrets"], copied["runs"][0]["rows"]) == (ACCOUNTS, ACCOUNTS)
    await second.refused("journal", "copy", shared, other, says="with runs already")

    # The old key opens, also behind a new one that encrypts.
    assert f"{ACCOUNTS} secrets are kept" in (await second("doctor", "-v", may_end_with=(0, 2))).told
    assert (await second.closing("resume", "--settle", "0.1"))["states"] == {"accepted": ACCOUNTS}
    query = "select id, psw from users where id in (:users)"
    assert dict(machines.place.query(query, users=list(rows))) == rows
    assert machines.kept() == 0
    assert machines.place.traffic.arrived - calls < 2 * ACCOUNTS
