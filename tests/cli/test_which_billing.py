"""API and database are one billing, and a run goes on with the one that it was begun on, by whatever address."""

import re
import shlex
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from aiohttp import ClientSession, web

from billing.database.database import attach
from billing.database.dsn import Dsn
from checkpoints.states import State
from lab.mock.population import create
from lab.mock.server import MockBilling, running
from tests.cli.conftest import Balances, Cli, Ended, Found, Place, clean_environment

ROWS = 20


@pytest.fixture(scope="session")
def other_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("other") / "billing.fdb"
    create(path, subscribers=200, seed=77)
    return path


@dataclass(frozen=True, slots=True)
class Other:
    """Another billing, with the same ids and most of the same contract numbers."""

    billing: MockBilling
    file: Path

    @property
    def entered(self) -> int:
        return sum(self.billing.ledger.effects("FinanceOperations").values())


@pytest.fixture
async def other(other_template: Path, tmp_path: Path) -> AsyncIterator[Other]:
    file = Path(shutil.copy(other_template, tmp_path / "other.fdb"))
    async with running(Dsn(str(file))) as billing:
        yield Other(billing, file)


async def stopped(place: Place, balances: Balances, *words: str) -> str:
    """A run that was interrupted after a few of its calls, and waits no longer than needed for what it has lost."""
    return await place.stopped("balances", balances.path.name, "--settle", "0.2", *words)


def copy_of(place: Place) -> Path:
    return Path(shutil.copy(place.file, place.file.with_name("copy.fdb")))


async def test_nothing_is_sent_where_api_and_database_are_of_two_billings(place: Place, other: Other) -> None:
    done = (await place.run("balances", place.balances(ROWS).path))["run"]
    more = place.balances(2 * ROWS, "more.csv").path
    left = place.write('[[step]]\njob = "balances"\nfile = "more.csv"\n', "steps.toml")
    place.rows("contract_number;name;folder", "N-1;A;Частный сектор", name="people.csv")
    before = (await place.found()).rows
    for typed in (
        ("run", "balances", more, "--yes"),
        ("run", left, "--yes"),
        ("run", "call", more, "--yes", "--model", "Abonents", "--chain", "objects.get {}"),
        ("import", "people.csv", "--yes"),
        ("plan", "balances", more),
        ("undo", done, "--yes"),
        ("verify", done),
        ("doctor",),
    ):
        wrongs = [("--api-url", other.billing.url), ("--database", str(other.file))]
        # What opens both is the same for all: the wrong database of two.
        for wrong in wrongs if typed[0] in {"plan", "doctor"} else wrongs[1:]:
            told = await place.cli.told(*typed, *wrong, ends=2)
            for words in ("API and database are not of one billing: ", "abonent", wrong[1], f"from {wrong[0]}"):
                assert words in told, typed
    assert ((await place.found()).rows, other.entered) == (before, 0)


async def test_a_run_goes_on_with_its_billing_alone(place: Place, other: Other) -> None:
    payment = place.rows("contract_number;amount", "00060;5", name="payment.csv")
    await place.run("payment", payment)
    run = await stopped(place, place.balances(ROWS))
    there = ("--api-url", other.billing.url, "--database", other.file)
    says = [f"run {run} works on {place.billing.url}", f"--api-url {place.billing.url}"]
    await place.cli.refused("resume", run, "--yes", *there, says=says)
    # Before that is asked: nothing listens there.
    for command in ("resume", "verify", "reconcile", "undo"):
        await place.cli.refused(command, run, "--api-url", "http://127.0.0.1:9", says=f"run {run} works on")
    # The same address, and another billing behind it.
    before = (await place.found()).rows
    await place.execute("update abonents set create_date = dateadd(1 month to create_date)")
    await place.cli.refused("resume", run, "--yes", says=f"run {run} was begun on another billing")
    assert ((await place.found()).rows, other.entered) == (before, 0)
    # What was entered in the other one does not count for this one, without a question: it is not in its database.
    await place.execute("delete from finance_operations where descr containing 'Платёж'")
    assert (await place.run("payment", payment))["states"] == {"accepted": 1}


async def test_a_run_with_a_database_does_not_go_on_without_one_by_oversight(place: Place) -> None:
    run = await stopped(place, place.balances(ROWS))
    database = place.without_database()
    await place.cli.refused("resume", run, "--yes", says=f"--database {database}")
    ended = await place.cli.closing("resume", run, "--yes", "--database", "", "--settle", "0.5")
    assert ended["states"] == {"accepted": ROWS}
    assert (await place.found()).most_for_one == 1


async def test_an_identity_outlives_what_happens_to_its_oldest_subscribers(place: Place) -> None:
    run = await stopped(place, place.balances(ROWS))
    await place.execute("update abonents set name = 'renamed', deleted = 1, parent_id = 89 where id < 2004")
    # One that was removed for good.
    await place.execute("update abonents set create_date = null where id = 2005")
    await place.cli("resume", run, "--yes", "--api-url", place.by_name, may_end_with=(0, 1))


async def test_who_changes_a_name_between_the_two_readings_stops_nothing(place: Place) -> None:
    place.traffic.looks = True
    place.traffic.model, place.traffic.opening = "Abonents", True

    def rename(arrived: int) -> None:
        if arrived == 1:
            with closing(attach(Dsn(str(place.file)))) as connection:
                connection.cursor().execute("update abonents set name = name || ' II'")
                connection.commit()

    place.traffic.answer = rename
    await place.run("balances", place.balances(2).path)
    assert place.traffic.arrived > 0


@pytest.mark.parametrize("words", [(), ("--no-canary",)], ids=["canary", "no canary"])
async def test_a_run_stops_where_the_database_does_not_show_its_first_row(
    place: Place, words: tuple[str, ...]
) -> None:
    """API and database are two copies of one billing: nothing but what is entered tells them apart."""
    balances = place.balances(ROWS)
    typed = ("--yes", "--json", "--settle", "0.5", "--database", copy_of(place))
    ended = (await place.cli("run", "balances", balances.path, *typed, *words, may_end_with=(3,))).closing
    assert ended["states"] == {"accepted": 1, "pending": ROWS - 1}
    assert ended["stopped_by"] == "budget"
    assert "its database does not show it: row 1 " in ended["stopped"]
    assert (await place.found()).rows == 1
    assert "with --trust-journal it goes on without looking" in ended["stopped"]
    # Nor does another row follow where it is resumed without having been looked at.
    resume = ("resume", ended["run"])
    says = "the API shows row 1 of run"
    await place.cli.told(*resume, *typed[:1], *typed[2:], *words, ends=2, says=says)
    assert (await place.found()).rows == 1
    ended = (await place.cli(*resume, *typed, "--trust-journal")).closing
    assert ended["states"] == {"accepted": ROWS}
    assert (await place.found()).most_for_one == 1


async def test_the_first_row_is_waited_for_while_it_is_in_the_stacks(place: Place) -> None:
    copy = copy_of(place)
    async with running(Dsn(str(copy)), stack_rate=0.7) as slow:
        there = ("--settle", "0.2", "--database", copy, "--api-url", slow.url)
        assert (await place.run("balances", place.balances(2).path, *there))["states"] == {"accepted": 2}


def at_default_place(place: Place) -> Path:
    """Let the journal be where it is by default; the folder of it."""
    del place.cli.environment["CARBON_MIGRATE_JOURNAL"]
    return place.cli.folder / "state" / "carbon-migrate"


async def test_one_billing_has_one_journal_by_whatever_address(place: Place) -> None:
    folder, balances = at_default_place(place), place.balances(ROWS)
    run, there = await stopped(place, balances), ("--api-url", place.by_name)
    await place.cli.refused("plan", "balances", balances.path, *there, says=f"run {run} is not at its end")
    resumed = await place.cli("resume", run, "--yes", *there)
    # Advised is what this command was given, and not what the run was begun with.
    assert f"verify {run} " in resumed.out
    assert place.billing.url not in resumed.out
    await place.cli("verify", run, *there)
    await place.landed_once(ROWS)
    planned = await place.cli("plan", "balances", balances.path, *there)
    assert f"billing {place.by_name}, version" in " ".join(planned.out.split())
    assert (await place.run("balances", balances.path, *there))["states"] == {"skipped": ROWS}
    assert run in (await place.cli("status", *there)).out
    (journal,) = (path for path in folder.glob("*.journal") if not path.is_symlink())
    assert journal.name == f"127.0.0.1-{place.billing.url.rpartition(':')[2]}.journal"


async def test_that_two_billings_count_as_one_is_said_when_it_is_first_seen(place: Place) -> None:
    """As two practice billings that were made with one seed: not in the log alone."""
    at_default_place(place)
    await place.run("balances", place.balances(ROWS).path)
    words = ("run", "balances", place.balances(ROWS).path, "--yes", "--quiet", "--api-url", place.by_name)
    first, second = [await place.cli(*words) for _ in range(2)]
    says = "caution: by its oldest rows this is the billing of "
    assert (says in first.words, says in second.words) == (True, False)
    assert "a practice billing that was made with the same --seed, give it a --journal FILE of its own" in first.words


async def test_a_journal_of_before_is_found_by_its_address(place: Place) -> None:
    """A run of an earlier version knows no identity: its billing is known by the address alone."""
    folder, balances = at_default_place(place), place.balances(ROWS)
    run = await stopped(place, balances)
    (journal,) = folder.glob("*.journal")
    with closing(sqlite3.connect(journal)) as connection:
        connection.execute(
            "update runs set parameters = json_remove(parameters, '$.\"input_place.settings_oldest_rows\"', "
            "'$.\"input_place.settings_api\"', '$.\"input_place.settings_database\"')"
        )
        connection.commit()
    await place.cli.refused("resume", run, "--yes", "--api-url", place.by_name, says="there is no journal")
    assert (await place.cli.closing("resume", run, "--yes"))["states"] == {"accepted": ROWS}


async def test_a_copy_of_the_billing_is_not_taken_for_it(place: Place) -> None:
    """A trial on a copy says nothing of the billing, and a run of the billing does not go on in the copy."""
    copy, payment = copy_of(place), place.rows("contract_number;amount", "00060;5", name="payment.csv")
    async with running(Dsn(str(copy))) as billing:
        there = ("--api-url", billing.url, "--database", copy)
        await place.run("payment", payment, *there)
        await place.cli.refused("run", "payment", payment, "--yes", says="--another-billing")
        await place.run("payment", payment, "--another-billing")
        run = await stopped(place, place.balances(ROWS))
        says = [f"leads to a copy of the billing of run {run}", f"--api-url {place.billing.url}"]
        await place.cli.refused("resume", run, "--yes", *there, says=says)
        assert sum(billing.ledger.effects("FinanceOperations").values()) == 1


# ---- API and database of two copies, told apart by what the journal has entered ----------------------------------


def of_two(api: str, database: Path) -> list[str]:
    return ["API and database are not of one billing: ", f"{api} (from ", f"{database} (from "]


async def killed(place: Place, calls: int = 8, settle: str = "0.2") -> tuple[str, Path]:
    """A run that was killed when so many of its calls had arrived, and a copy of the database from before it."""
    payments = [f"{number};5;D-{number}" for number in place.balances(ROWS).numbers]
    place.rows("contract_number;amount;document", *payments, name="payments.csv")
    copy, place.billing.latency = copy_of(place), 0.1
    pacing = ("--in-flight", "4", "--no-canary", "--settle", settle)
    await place.kill_at(calls, "run", "payment", "payments.csv", "--yes", *pacing)
    place.billing.latency = 0
    (run,) = await place.runs()
    return run.name, copy


@pytest.mark.parametrize("calls", [8, 1], ids=["rows accepted", "the first in doubt"])
async def test_nothing_is_concluded_from_the_database_of_another_copy(place: Place, calls: int) -> None:
    """What the API has accepted is not in an older copy of the database: it is neither sent again nor taken back."""
    run, copy = await killed(place, calls)
    left = await place.totals(run)
    assert left.count(State.SENDING)
    assert (calls == 1) is (left.count(State.ACCEPTED) == 0)
    before = (await place.found()).rows
    place.write('[[step]]\njob = "payment"\nfile = "more.csv"\n', "steps.toml")
    place.rows("contract_number;amount;document", "00003;5;E", name="more.csv")
    for typed in (
        ("resume", run, "--yes"),
        ("verify", run),
        ("reconcile", run),
        ("run", "payment", "more.csv", "--yes"),
        ("run", "steps.toml", "--yes"),
        ("plan", "payment", "more.csv"),
        ("plan", "payment", "payments.csv"),
        ("doctor",),
    ):
        told = await place.cli.told(*typed, "--database", copy, ends=2, says=of_two(place.billing.url, copy))
        assert f"of run {run} (" in told
    assert (await place.found()).rows == before
    assert await place.totals(run) == left
    await place.cli("resume", run, "--yes")
    assert await place.found() == Found(before := ROWS, Decimal(0), 1)
    # Nor is it said to be taken back, after which a corrected file would be money a second time.
    undo = ("undo", run, "--yes", "--set", "way=opposite")
    await place.cli.told(*undo, "--database", copy, ends=2, says=of_two(place.billing.url, copy))
    assert (await place.found()).rows == before
    # A copy that has this run, and not the last one, says nothing of it either.
    shutil.copy(place.file, copy)
    last = (await place.run("payment", "more.csv"))["run"]
    for command in ("verify", "reconcile", "undo"):
        words = undo if command == "undo" else (command, run)
        told = await place.cli.told(*words, "--database", copy, ends=2, says=of_two(place.billing.url, copy))
        assert f"of run {last} (" in told


async def test_nothing_is_sent_to_the_api_of_another_copy(place: Place) -> None:
    run, copy = await killed(place)
    async with running(Dsn(str(copy))) as billing:
        there = ("--api-url", billing.url)
        for typed in (
            ("resume", run, "--yes"),
            ("run", "payment", "payments.csv", "--yes"),
            ("plan", "payment", "payments.csv"),
            ("verify", run),
            ("doctor",),
        ):
            says = of_two(billing.url, place.file)
            await place.cli.told(*typed, *there, ends=2, says=says)
        assert billing.ledger.effects("FinanceOperations") == {}
        neither = "neither API nor database shows what the journal has entered last"
        await place.cli.told("doctor", *there, "--database", copy, says=neither)
    await place.cli.told("doctor", "--verbose", says="API and database show what the journal has entered last")


async def test_a_database_that_lags_is_waited_for(place: Place) -> None:
    """Only what it does not show after the settle delay either is in another billing."""
    place.traffic.looks = True
    run, copy = await killed(place, settle="60")
    place.traffic.arrived = 0
    shutil.copy(place.file, copy)
    change = "update finance_operations set descr = replace(descr, ?, ?)"

    def replay(words: tuple[str, str]) -> None:
        with closing(attach(Dsn(str(copy)))) as connection:
            connection.cursor().execute(change, words)
            connection.commit()

    replay(("[cm", "(cm"))

    async def catch_up(_: str) -> None:
        if place.traffic.arrived == 2:
            await anyio.to_thread.run_sync(replay, ("(cm", "[cm"))

    place.traffic.meanwhile = catch_up
    assert f"run {run}: " in await place.cli.told("verify", run, "--database", copy, ends=3)


async def test_an_answer_that_is_another_rows_already_ends_the_run(place: Place) -> None:
    """The API has become that of a copy meanwhile: what it creates has the ids of what was created before."""
    copy = copy_of(place)
    place.traffic.method = "objects.create"
    answers: list[bytes] = []
    async with running(Dsn(str(copy))) as billing, ClientSession() as client:

        async def elsewhere(body: str) -> None:
            if place.traffic.arrived > 3:
                form = {"Content-Type": "application/x-www-form-urlencoded"}
                url = f"{billing.url}/rest_api/v2/FinanceOperations/"
                async with client.post(url, data=body, headers=form) as response:
                    answers.append(await response.read())

        meanwhile, place.traffic.meanwhile = place.traffic.meanwhile, elsewhere
        place.traffic.answer = lambda _: (
            web.Response(body=answers.pop(), content_type="application/json") if answers else None
        )
        pacing = ("--in-flight", "1", "--no-canary", "--settle", "0.2")
        ended = await place.run("balances", place.balances(ROWS).path, *pacing, ends=3)
        # Two more may leave on a slow disk: the row that was claimed ahead, and one claimed right before the record.
        assert sum(billing.ledger.effects("FinanceOperations").values()) <= 3
    assert ended["states"]["pending"] >= ROWS - 6
    assert "the id of one new object" in ended["stopped"]
    place.traffic.meanwhile = meanwhile
    await place.cli("resume", ended["run"], "--yes")
    assert (await place.found()).most_for_one == 1


# ---- every advised command leads to the same run on the same billing ---------------------------------------------

ADVISED = re.compile(r"(?:^ *|`)carbon-migrate ([^\n`]+)", re.MULTILINE)
ADVISED_ROWS = 12
ADVISED_HERE = {"run", "probe", "status", "resume", "verify", "export", "reconcile", "decide", "undo"}
BY_FILE = """
journal = "carbon-migrate.journal"
[api]
url = "{url}"
[database]
address = "{file}"
"""


@pytest.fixture
async def twin(place: Place, tmp_path: Path) -> AsyncIterator[Other]:
    """A copy of the billing, which nothing but its addresses tells from it."""
    file = Path(shutil.copy(place.file, tmp_path / "copy.fdb"))
    async with running(Dsn(str(file))) as billing:
        yield Other(billing, file)


def by_environment(place: Place) -> tuple[str, ...]:
    place.cli.environment["CARBON_MIGRATE_DATABASE"] = f"../{place.file.name}"
    return ()


def by_flags(place: Place) -> tuple[str, ...]:
    url, _, journal = (
        place.cli.environment.pop(f"CARBON_MIGRATE_{name}") for name in ("API_URL", "DATABASE", "JOURNAL")
    )
    return ("--api-url", url, "--database", f"../{place.file.name}", "--journal", journal)


def by_file(place: Place) -> tuple[str, ...]:
    _, url, *_ = by_flags(place)
    place.write(BY_FILE.format(url=url, file=f"../{place.file.name}"), "carbon-migrate.toml")
    return ()


def by_profile(place: Place) -> tuple[str, ...]:
    _, url, *_ = by_flags(place)
    place.write(
        f'[profile.north]\njournal = "carbon-migrate.journal"\n[profile.north.api]\nurl = "{url}"\n'
        f'[profile.north.database]\naddress = "../{place.file.name}"\n',
        "settings.toml",
    )
    return ("--config", "settings.toml", "--profile", "north")


def by_default_place(place: Place) -> tuple[str, ...]:
    del place.cli.environment["CARBON_MIGRATE_JOURNAL"]
    return ()


def elsewhere(place: Place, twin: Other, folder: Path) -> Cli:
    """Another folder, where settings, a journal and variables lie about that lead to the other billing."""
    folder.mkdir()
    (folder / "carbon-migrate.toml").write_text(BY_FILE.format(url=twin.billing.url, file=twin.file), "utf-8")
    lies = {
        "CARBON_MIGRATE_API_URL": twin.billing.url,
        "CARBON_MIGRATE_DATABASE": str(twin.file),
        "XDG_STATE_HOME": str(folder / "state"),
    }
    kept = {name: value for name, value in place.cli.environment.items() if not name.startswith("CARBON_MIGRATE_")}
    return Cli(folder, kept | lies)


def advised(ended: Ended) -> list[str]:
    """The commands on a screen, in the order in which they stand there."""
    # A sentence is broken into lines; a command that stands by itself is not.
    sentences = [" ".join(one.split()) for one in re.findall(r"`[^`]+`", ended.out + ended.err)]
    return [*ADVISED.findall(ended.out), *ADVISED.findall(ended.err), *ADVISED.findall("\n".join(sentences))]


GIVEN: Mapping[str, Callable[[Place], tuple[str, ...]]] = {
    "environment": by_environment,
    "flags": by_flags,
    "file": by_file,
    "profile": by_profile,
    "default place": by_default_place,
}
TOLD_ALIKE = ("environment", "file", "default place")
"""Ways whose commands are written as those of the other ones: by the place of the run alone."""


@pytest.mark.parametrize(
    "given",
    [
        *(given for given in GIVEN if given not in TOLD_ALIKE),
        *(pytest.param(given, marks=pytest.mark.prove) for given in TOLD_ALIKE),
    ],
)
async def test_each_advised_command_leads_to_its_run_from_another_folder(
    place: Place, twin: Other, tmp_path: Path, given: str
) -> None:
    """Typed as they are printed: after a plan, a stop, a row to decide on, refused rows, a look, an undo."""
    words = GIVEN[given](place)
    there = elsewhere(place, twin, tmp_path / "elsewhere")
    seen: dict[str, None] = {}
    done: set[str] = set()

    async def show(*typed: str | Path, codes: Sequence[int] = (0,)) -> list[str]:
        # What looks at the journal alone takes no database.
        given = [*words[:2], *words[4:]] if typed[0] == "status" and "--database" in words else words
        found = advised(await place.cli(*typed, *given, may_end_with=codes))
        seen.update(dict.fromkeys(found))
        return found

    async def type_all(commands: Sequence[str]) -> None:
        for command in commands:
            name, *rest = shlex.split(command.replace("'…'", "seen"))
            if command in done:
                continue
            done.add(command)
            if name == "jobs" or re.search(r" [A-Z]{2,} |…", " ".join(rest)):
                assert name == "jobs" or leads(command, place), command
                continue
            if "--continue" in rest:
                # Typed in the folder of the file that the command before it has written, once it is mended.
                file = there.folder / rest[1]
                file.write_text(file.read_text(encoding="utf-8-sig").replace("-1", "8"), encoding="utf-8")
            agreed = ("--yes",) if name in {"run", "undo", "import"} else ()
            await there(name, *rest, *agreed, may_end_with=(0, 1, 4))

    balances = place.balances(ADVISED_ROWS)
    planned = await show("plan", "balances", balances.path)
    await show("doctor")
    # ---- sent as planned, and taken back
    await type_all(planned)
    assert (await place.found()).rows == ADVISED_ROWS
    assert twin.entered == 0

    # ---- stopped
    more = place.balances(2 * ADVISED_ROWS, "more.csv")
    place.write(
        "".join(["contract_number;amount\n", *more.path.read_text().splitlines(True)[ADVISED_ROWS + 1 :]]), "more.csv"
    )
    run = await stopped(place, more, *words)
    await type_all([one for one in await show("status", "--all") if one.startswith("status")])
    await show("run", "balances", more.path, "--yes", codes=(2,))
    resumes = [one for one in await show("status", run) if one.startswith("resume")]
    await type_all(resumes[:1])
    assert (await place.found()).rows == 2 * ADVISED_ROWS
    await type_all(await show("status", run))

    # ---- a row that a person decides on, one that is refused
    place.write("contract_number;amount\n00003;5\n00004;6\n00005;7\n00006;-1\n", "payments.csv")
    place.billing.latency, place.traffic.model = 0.3, "Abonents"
    typed_run = ("run", "payment", "payments.csv", "--set", "way=add_payment", "--yes", "--skip-bad", *words)
    await place.kill_at(place.traffic.arrived + 1, *typed_run)
    place.billing.latency = 0.0
    await show("resume", "--settle", "0.2", codes=(0, 1, 4))
    (killed,) = {command.split()[1] for command in seen if command.startswith("reconcile")}
    await type_all(await show("reconcile", killed, codes=(0, 1, 4)))
    await type_all(await show("status", killed))
    await type_all(await show("undo", run, "--yes", "--set", "way=list", codes=(0, 1)))
    assert {command.split()[0] for command in seen} >= ADVISED_HERE
    assert twin.entered == 0
    assert not [*there.folder.rglob("*.journal")]


def leads(command: str, place: Place) -> bool:
    """Whether a command with placeholders names what leads to the billing."""
    return "--config" in command or (place.billing.url in command and f"--database {place.file}" in command)


async def test_an_address_that_is_none_is_named_before_a_journal_that_is_not_there(tmp_path: Path) -> None:
    cli = Cli(tmp_path, clean_environment() | {"XDG_STATE_HOME": str(tmp_path)})
    del cli.environment["CARBON_MIGRATE_JOURNAL"]
    for command in ("status", "resume"):
        await cli.refused(command, "--api-url", "nowhere", says="'nowhere' is not an address of a billing")
