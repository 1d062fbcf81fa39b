"""A load is recorded, and replayed on another port with the same result."""

import gzip
import signal
from pathlib import Path

from cli.terminal.exits import Exit
from tests.cli.conftest import Place


async def recorded(place: Place) -> tuple[Path, dict[str, object]]:
    recording = place.cli.folder / "night.rec"
    ended = await place.run("balances", place.balances(40).path, "--in-flight", "4", "--record", recording)
    return recording, ended


async def test_without_names_a_load_is_replayed_by_rows_that_are_made_up_too(place: Place) -> None:
    # Without a database every contract number is asked for, so people are in questions and answers.
    await place.execute("update abonents set name = 'Канарейкина Вера', contract_number = 'Канарейка-' || id")
    balances = place.balances(12)
    text = balances.path.read_text(encoding="utf-8").splitlines()
    place.write("".join(f"{line};{'кто' if not number else 'Канарейкина'}\n" for number, line in enumerate(text)))
    place.cli.environment.pop("CARBON_MIGRATE_DATABASE")
    run = ("run", "balances", "--yes", "--json", "--in-flight", "2", "--settle", "0")
    closing = (await place.cli(*run, "balances.csv", "--record", "night.rec")).closing
    recording = gzip.decompress((place.cli.folder / "night.rec").read_bytes())
    assert closing["states"] == {"accepted": 12}
    assert "анарейк" not in recording.decode()
    assert "objects.filter" in recording.decode()
    (await place.cli("mock", "rows", closing["run"], "-o", "made-up.csv")).saying("12 rows")
    rows = (place.cli.folder / "made-up.csv").read_text(encoding="utf-8")
    assert rows.startswith("contract_number;amount;кто\n")
    assert "анарейк" not in rows
    async with place.cli.started("mock", "replay", "night.rec", "--port", "0") as replay:
        url = await replay.first_line()
        again = await place.cli(*run, "made-up.csv", "--api-url", url, "--journal", "replayed.journal")
        replay.signal(signal.SIGTERM)
        ended = await replay.ended()
    assert ended.exit == Exit.DONE, ended
    assert again.closing["amounts"] == closing["amounts"]


async def test_names_are_kept_where_that_is_asked_for(place: Place) -> None:
    balances = place.balances(1)
    place.cli.environment.pop("CARBON_MIGRATE_DATABASE")
    run = ("run", "balances", balances.path, "--yes", "--record-names")
    await place.cli.refused(*run, says="name its file, --record FILE")
    await place.cli(*run, "--record", "night.rec")
    recording = gzip.decompress((place.cli.folder / "night.rec").read_bytes())
    assert balances.numbers[0].encode() in recording


async def test_what_was_not_recorded_is_refused_and_named(place: Place) -> None:
    recording, _ = await recorded(place)
    place.write("contract_number;amount\n" + f"{place.balances(1, 'x.csv').numbers[0]};7,77\n", "other.csv")
    async with place.cli.started("mock", "replay", recording, "--port", "0") as replay:
        url = await replay.first_line()
        stopped = await place.cli(
            "run", "balances", "other.csv", "--yes", "--again", "--settle", "0",
            "--api-url", url, "--journal", "other.journal",
            may_end_with=[Exit.STOPPED],
        )  # fmt: skip
        replay.signal(signal.SIGTERM)
        ended = await replay.ended()
    assert "the billing refuses all work: HTTP 404" in stopped.words
    assert ended.exit == Exit.REJECTED
    assert "unknown to the recording" in ended.out
    assert "never made" in ended.out


async def test_a_live_server_that_answers_alike_shows_no_difference(place: Place) -> None:
    recording, _ = await recorded(place)
    (await place.cli("mock", "diff", recording)).saying(["0 answered differently", "40 writes"])
    # A recording is not overwritten, and another file is none.
    before = recording.read_bytes()
    again = ("run", "balances", place.balances(2, "b.csv").path, "--yes", "--record", recording)
    await place.cli.refused(*again, says="night.rec")
    assert recording.read_bytes() == before
    for command in ("replay", "diff"):
        await place.cli.refused("mock", command, place.balances(1).path, says="balances.csv")
