"""What scripts read is the same in every language, closing objects and exit codes; what people read is not."""

import re
import shlex
from pathlib import Path

import pytest

from checkpoints.journal import Journal
from cli.terminal.language import LANGUAGES, RUSSIAN
from tests.checkpoints.samples import frozen_run, new_item, within
from tests.cli.conftest import Typed

UNREACHABLE = "http://127.0.0.1:9"
_RUSSIAN = re.compile("[а-яё]", re.IGNORECASE)

COMMANDS = (
    "--version",
    "nosuch",
    "status --json",
    "status RUN --json",
    "status nosuch --json",
    "get RUN --json",
    "pause RUN --json",
    "continue RUN --json",
    "set RUN rate=fast --json",
    "stop RUN --json",
    "jobs --json",
    "jobs balances --json",
    "jobs blances --json",
    f"doctor --json --api-url {UNREACHABLE}",
    f"run balances rows.csv --json --yes --api-url {UNREACHABLE}",
    f"run balances nowhere.csv --json --api-url {UNREACHABLE}",
    "run balances rows.csv --json --api-url nonsense",
    "run --json",
    "run balances rows.csv --json --rate fast",
    "run job.toml --json --yes",
    "run balances rows.csv --continue RUN --plan x --json",
    f"plan balances rows.csv --json --api-url {UNREACHABLE}",
    f"plan password rows.csv --json --api-url {UNREACHABLE}",
    f"resume RUN --json --api-url {UNREACHABLE}",
    "resume nosuch --json",
    f"undo RUN --json --api-url {UNREACHABLE}",
    f"verify RUN --json --api-url {UNREACHABLE}",
    f"reconcile RUN --json --api-url {UNREACHABLE}",
    "decide RUN 1 nonsense --why seen --json",
    "decide RUN 99 accepted --why seen --json",
    "export RUN --json",
    "export RUN --state reject --json",
    "purge RUN --json",
    "translate 'curl http://billing/rest_api' --json",
)


@pytest.fixture
def run(tmp_path: Path) -> str:
    """A run of two rows in a journal of the working folder, with inputs beside it."""
    (tmp_path / "rows.csv").write_text("contract_number;amount\n1;1,00\n2;x\n", encoding="utf-8")
    (tmp_path / "job.toml").write_text('[[step]]\njob = "blances"\n', encoding="utf-8")

    async def make(journal: Journal) -> str:
        return (await frozen_run(journal, new_item("1"), new_item("2"))).name

    return within(tmp_path / "carbon-migrate.journal", make)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_script_reads_the_same_in_every_language(line: str, run: str, typed: Typed, tmp_path: Path) -> None:
    journal = tmp_path / "carbon-migrate.journal"
    kept = journal.read_bytes()
    found = []
    for language in LANGUAGES:
        for file in tmp_path.glob(f"{journal.name}*"):
            file.unlink()
        journal.write_bytes(kept)
        ended = typed(*shlex.split(line.replace("RUN", run)), "--lang", language)
        found.append((ended.exit, _without_times(ended.out)))
        assert ended.exit == 0 or bool(_RUSSIAN.search(ended.err)) is (language == RUSSIAN), ended.err
    assert found[0] == found[1]


def _without_times(text: str) -> str:
    """A closing object without what is new in each process."""
    for word in ('"seconds":', "freed", " MiB free", '"since":', '"given_at":'):
        text = re.sub(rf"{word}[^,}}]*", word, text)
    return re.sub(r"[0-9:T.-]{19,}(Z|\+00:00)?|[0-9 ]+ MiB", "…", text)
