"""`report --all`: one report of all billings, whose figures are those of the journal, and which can be checked."""

import json
import re
from decimal import Decimal
from pathlib import Path

import pytest

from checkpoints.journal import Journal, open_journal
from checkpoints.merkle import MerkleTree, leaf_data, leaf_hash, root_of
from checkpoints.records import Run, Stage
from checkpoints.states import State
from checkpoints.transitions import Purge
from tests.cli.conftest import Cli, settings_file
from tests.cli.fleet.conftest import Campaign, new_run, sent

ENTERED = re.compile(r"<tr><td>(\w+)\.example\.org</td>(.*?)</tr>")


@pytest.fixture(autouse=True)
def in_postgres(cli: Cli, address: str) -> None:
    cli.environment |= {"CARBON_MIGRATE_JOURNAL": address, "COLUMNS": "200"}


async def root_in(journal: Journal, run: Run) -> str:
    tree = MerkleTree()
    async for page in journal.each_page(run, frozenset(State)):
        for item in page:
            tree.add(leaf_hash(leaf_data(item)))
    return tree.root.hex()


def amount(text: str) -> Decimal:
    return Decimal(text.replace("\u00a0", "").replace("−", "-"))


async def test_its_figures_are_the_journals_and_it_names_what_waits(
    cli: Cli, journal: Journal, campaign: Campaign
) -> None:
    made = await cli.closing("report", "--all")
    page = (cli.folder / "report-all.html").read_text(encoding="utf-8")
    runs = {what: run for what, run in campaign.runs.items() if what != "discarded"}
    assert set(made["runs"]) == {run.name for run in runs.values()}
    assert (made["kind"], made["preliminary"]) == ("campaign", True)
    roots = [await root_in(journal, run) for run in sorted(runs.values(), key=lambda run: run.run_id)]
    assert all(root in page for root in roots)
    assert made["root"] == root_of(leaf_hash(bytes.fromhex(root)) for root in roots).hex()
    shown = {what: re.findall(r">([^<]*)</td>", cells) for what, cells in ENTERED.findall(page)}
    for what, run in runs.items():
        totals = await journal.totals(run)
        _, asked, _, rows, entered = shown[what]
        assert int(asked) == totals.read, what
        assert int(rows) == totals.count_where(in_effect=True), what
        assert amount(entered) == totals.amounts.get(State.ACCEPTED, Decimal(0)), what
    every = sum((amount(cells[4]) for cells in shown.values()), Decimal(0))
    assert f'<td class="number">{every}</td></tr>' in page.partition('class="sum"')[2]
    words = " ".join(re.sub("<[^>]+>", " ", page).split())
    assert f"{campaign.name('decide')} decide.example.org in doubt: a person decides 3" in words
    assert f"{campaign.name('idle')} idle.example.org not at its end 6" in words
    assert "PRELIMINARY" in words
    assert "nothing is handed over" in words


async def test_it_is_checked_by_the_roots_of_its_runs(cli: Cli, journal: Journal) -> None:
    first = await sent(journal, await new_run(journal, "first.example.org"), [State.ACCEPTED] * 10)
    second = await sent(journal, await new_run(journal, "second.example.org"), [State.ACCEPTED] * 10)
    await cli("report", "--all", "--lang", "ru", "-o", "all.html")
    page = (cli.folder / "all.html").read_text(encoding="utf-8")
    assert "ПРЕДВАРИТЕЛЬНО" not in page
    assert 'class="sign"' in page
    assert (await cli.closing("report", "check", "all.html"))["agrees"]
    async with journal.taken_up(second) as ours:
        item = (await journal.items(ours, {State.ACCEPTED}, size=1))[0]
        await journal.doubt_answers(ours, [item.item_id], "doubled")
    found = await cli.closing("report", "check", "all.html", ends=1)
    assert (found["agrees"], found["differing_runs"], found["rows"]) == (False, [second.name], [])
    told = await cli("report", "check", "all.html", may_end_with=[1])
    assert f"the rows of run {second.name} are not those of the report" in told.out
    assert first.name not in told.out.partition("does not agree")[2]


async def test_since_a_date_and_with_runs_that_were_purged(cli: Cli, journal: Journal) -> None:
    old = await sent(journal, await new_run(journal, "old.example.org"), [State.ACCEPTED] * 10)
    purge = Purge({}, empty=lambda payload: payload, keep_totals=False)
    await journal.purge(old, purge)
    await cli("report", "--all", "-o", "all.html")
    page = (cli.folder / "all.html").read_text(encoding="utf-8")
    assert "no root" in page
    assert "11.00" in page
    assert (await cli.closing("report", "check", "all.html"))["agrees"]
    await cli.refused("report", "--all", "--since", "2100-01-01", says="has no run that was begun since 2100-01-01")
    says = "--since: 'yesterday' is not a date; write it as 2026-11-30"
    await cli.refused("report", "--all", "--since", "yesterday", says=says)
    await cli.refused("report", old.name, "--all", says="the report of all billings names no run")
    assert (await journal.run(old.name)).stage is Stage.APPROVED


async def test_billings_with_journals_of_their_own_are_to_be_chosen(cli: Cli, tmp_path: Path) -> None:
    del cli.environment["CARBON_MIGRATE_JOURNAL"]
    hosts = ("north", "south")
    profiles = (f'[profile.{host}]\napi = {{ url = "http://{host}.example.org:8082" }}' for host in hosts)
    settings_file(cli.folder, "\n".join(profiles))
    state = tmp_path / "state" / "carbon-migrate"
    for host in hosts:
        async with open_journal(state / f"{host}.example.org-8082.journal") as journal:
            await sent(journal, await new_run(journal, f"{host}.example.org"), [State.ACCEPTED] * 10)
    await cli.refused("report", "--all", says="the billings of the settings have several journals")
    made = json.loads((await cli("report", "--all", "--profile", "north", "--json")).out)
    assert len(made["runs"]) == 1
