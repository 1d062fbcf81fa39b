"""Every command that a screen advises leads to the same run on the same billing, from wherever it is typed."""

import re
import shlex
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

import pytest

from billing.database.dsn import Dsn
from lab.mock.server import running
from tests.cli.conftest import Cli, Ended, Place
from tests.cli.test_which_billing import Other, stopped

ADVISED = re.compile(r"(?:^ *|`)carbon-migrate ([^\n`]+)", re.MULTILINE)
ROWS = 12
ADVISED_HERE = {"run", "probe", "jobs", "status", "resume", "verify", "export", "reconcile", "decide", "undo"}
LIE = """
journal = "carbon-migrate.journal"
[api]
url = "{url}"
[database]
address = "{file}"
"""


@pytest.fixture
async def other(place: Place, tmp_path: Path) -> AsyncIterator[Other]:
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
    place.write(
        f'journal = "carbon-migrate.journal"\n[api]\nurl = "{url}"\n[database]\naddress = "../{place.file.name}"\n',
        "carbon-migrate.toml",
    )
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


def elsewhere(place: Place, other: Other, folder: Path) -> Cli:
    """Another folder, where settings, a journal and variables lie about that lead to the other billing."""
    folder.mkdir()
    (folder / "carbon-migrate.toml").write_text(LIE.format(url=other.billing.url, file=other.file), encoding="utf-8")
    lies = {
        "CARBON_MIGRATE_API_URL": other.billing.url,
        "CARBON_MIGRATE_DATABASE": str(other.file),
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
    place: Place, other: Other, tmp_path: Path, given: str
) -> None:
    """Typed as they are printed: after a plan, a stop, a row to decide on, refused rows, a look, an undo."""
    words = GIVEN[given](place)
    there = elsewhere(place, other, tmp_path / "elsewhere")
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

    balances = place.balances(ROWS)
    planned = await show("plan", "balances", balances.path)
    await show("doctor")
    # ---- sent as planned, and taken back
    await type_all(planned)
    assert (await place.found()).rows == ROWS
    assert other.entered == 0

    # ---- stopped
    more = place.balances(2 * ROWS, "more.csv")
    place.write(
        "".join(["contract_number;amount\n", *more.path.read_text().splitlines(True)[ROWS + 1 :]]), "more.csv"
    )
    run = await stopped(place, more, *words)
    await type_all([one for one in await show("status", "--all") if one.startswith("status")])
    await show("run", "balances", more.path, "--yes", codes=(2,))
    resumes = [one for one in await show("status", run) if one.startswith("resume")]
    await type_all(resumes[:1])
    assert (await place.found()).rows == 2 * ROWS
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
    assert other.entered == 0
    assert not [*there.folder.rglob("*.journal")]


def leads(command: str, place: Place) -> bool:
    """Whether a command with placeholders names what leads to the billing."""
    return "--config" in command or (place.billing.url in command and f"--database {place.file}" in command)
