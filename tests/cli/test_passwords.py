"""Jobs on passwords in real processes: no password stands where it must not, whatever is killed and resumed."""

import csv
import stat
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from billing.secret import Secret
from checkpoints.journal import open_journal
from checkpoints.records import Change, NewItem, NewRun, Page
from checkpoints.states import State
from cli.session.order import identity, parse_order
from cli.session.session import finish_run
from cli.session.start import give_up
from cli.session.vaults import wipe_secrets
from jobs.access.vault import BATCH, Vault, is_token, vault_path
from jobs.catalogue.catalogue import BUILT_IN
from jobs.catalogue.passwords import PASSWORDS
from jobs.rows.input import Input
from jobs.spec.errors import SecretGone
from tests.cli.conftest import Typed
from tests.cli.flows import Flow, all_of, flow

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


async def password(flow: Flow) -> None:
    users = accounts(flow)
    words = [word(user) for user in users if word(user)] + [FOR_ALL]

    def killed() -> None:
        assert flow.files_with(words) == {"rows.csv", "job.toml", SECRETS}
        assert stat.S_IMODE((flow.folder / SECRETS).stat().st_mode) == 0o600

    file = flow.rows("login;новый пароль", *(f"user{user};{word(user)}" for user in users))
    # On a command line it would be refused.
    for_all = flow.write(f'[[step]]\njob = "password"\nfile = "{file}"\nset.psw = "{FOR_ALL}"\n', "job.toml")
    closing = await flow.go(for_all, kill_at=15, killed=killed, verify_ends_with=4)
    assert closing["states"] == {"accepted": ROWS}
    assert flow.files_with(words) == {"rows.csv", "job.toml"}
    assert passwords(flow, users) == [(user, f"user{user}", word(user) or FOR_ALL) for user in users]


async def random_password(flow: Flow) -> None:
    users, before = accounts(flow), set(flow.query("select psw from users"))
    arguments = ("random-password", flow.rows("login", *(f"user{user}" for user in users)), "--set", "to=out.csv")
    closing = await flow.go(*arguments, kill_at=31, verify_ends_with=4)
    assert closing["states"] == {"accepted": ROWS}
    found = passwords(flow, users)
    words = [psw for _, _, psw in found]
    assert not before & {(one,) for one in words}
    out = flow.folder / "out.csv"
    with out.open(encoding="utf-8-sig", newline="") as stream:
        header, *rows = csv.reader(stream, delimiter=";")
    assert header == ["user_id", "login", "password", f"run {closing['run']}"]
    assert sorted((int(user), login, psw) for user, login, psw in rows) == found
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert flow.files_with(words) == {"out.csv"}


async def password_recovery(flow: Flow) -> None:
    file = flow.rows("login", *(f"user{user}" for user in accounts(flow)))
    arguments = ("password-recovery", file, "--set", "base_url=http://lk.example.org/")
    closing = await flow.go(*arguments, kill_at=15, may_end_with=(4,), verify_ends_with=4)
    states = closing["states"]
    assert states["accepted"] + states["manual"] == ROWS
    # Twice as many as are in flight, and a group of outcomes.
    assert states["manual"] <= 16
    letters = dict(flow.query("select user_id, count(*) from password_recoveries group by user_id"))
    assert max(letters.values()) == 1
    assert len(letters) >= states["accepted"]


CASES: dict[str, Callable[[Flow], Awaitable[None]]] = {
    "password": password,
    "random-password": random_password,
    "password-recovery": password_recovery,
}


def test_every_job_on_passwords_is_killed_below() -> None:
    assert CASES.keys() == {kind.name for kind in PASSWORDS}


@pytest.mark.loops(240)
async def test_every_job_on_passwords_is_planned_killed_resumed_and_verified(
    billing_template: Path, tmp_path: Path
) -> None:
    async def taken(name: str) -> None:
        async with flow(billing_template, tmp_path / name) as one:
            await CASES[name](one)

    await all_of([partial(taken, name) for name in CASES])


# ---- the file of generated passwords ----------------------------------------------------------------------------


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
        out.write_text(out.read_text(encoding="utf-8-sig").replace(";run ", "\t"), encoding="utf-8")
        await one.cli.refused(*resume, says="is not the file of this run")
        assert one.traffic.arrived == before
        out.write_bytes(kept)
        written = out.rename(one.folder / "elsewhere.csv").read_text(encoding="utf-8-sig").splitlines()[1:]
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


# ---- the secrets of a run ---------------------------------------------------------------------------------------


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
        (item,) = await journal.items(run, {State.PENDING})
        if state is not State.PENDING:
            await journal.claim(run, [item.item_id])
            if state is State.MANUAL:
                await journal.doubt(run)
            await journal.record(run, [Change(item.item_id, state)])
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


async def test_a_vault_that_cannot_be_wiped_ends_no_run(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    vault_path(path).write_text("no database" * 500, encoding="utf-8")
    async with open_journal(path) as journal:
        run = await journal.create_run(NewRun("password", {BATCH: "a" * 16}, "billing", "file"))
        await wipe_secrets(run, journal)
