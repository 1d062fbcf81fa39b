"""A load is recorded, replayed on another port with the same result, and held against a live billing."""

import gzip
import signal

from cli.terminal.exits import Exit
from tests.cli.conftest import Place


async def test_without_names_a_load_is_replayed_by_rows_that_are_made_up_too(place: Place) -> None:
    # Without a database every contract number is asked for, so people are in questions and answers.
    await place.execute("update abonents set name = 'Канарейкина Вера', contract_number = 'Канарейка-' || id")
    balances = place.balances(12)
    text = balances.path.read_text(encoding="utf-8").splitlines()
    place.write("".join(f"{line};{'кто' if not number else 'Канарейкина'}\n" for number, line in enumerate(text)))
    place.without_database()
    run = ("run", "balances", "--yes", "--json", "--in-flight", "2", "--settle", "0")
    await place.cli.refused(*run, "balances.csv", "--record-names", says="name its file, --record FILE")
    closing = (await place.cli(*run, "balances.csv", "--record", "night.rec")).closing
    night = place.cli.folder / "night.rec"
    recording = gzip.decompress(night.read_bytes())
    assert closing["states"] == {"accepted": 12}
    assert "анарейк" not in recording.decode()
    assert "objects.filter" in recording.decode()
    # Names are kept where that is asked for, and a recording is not overwritten.
    await place.cli(*run, "balances.csv", "--again", "--limit", "1", "--record", "names.rec", "--record-names")
    assert balances.numbers[0].encode() in gzip.decompress((place.cli.folder / "names.rec").read_bytes())
    before = night.read_bytes()
    await place.cli.refused(*run, "balances.csv", "--again", "--record", night, says="night.rec")
    assert night.read_bytes() == before
    differs = "answered differently; not asked: 12 writes"
    await place.cli.told("mock", "diff", night, ends=Exit.REJECTED, says=differs)
    for command in ("replay", "diff"):
        await place.cli.refused("mock", command, balances.path, says="balances.csv")
    (await place.cli("mock", "rows", closing["run"], "-o", "made-up.csv")).saying("12 rows")
    rows = (place.cli.folder / "made-up.csv").read_text(encoding="utf-8")
    assert rows.startswith("contract_number;amount;кто\n")
    assert "анарейк" not in rows
    async with place.cli.started("mock", "replay", night, "--port", "0") as replay:
        elsewhere = ("--api-url", await replay.first_line())
        again = await place.cli(*run, "made-up.csv", *elsewhere, "--journal", "replayed.journal")
        replay.signal(signal.SIGTERM)
        ended = await replay.ended()
    assert ended.exit == Exit.DONE, ended
    assert again.closing["amounts"] == closing["amounts"]
    # What was not recorded is refused and named.
    async with place.cli.started("mock", "replay", night, "--port", "0") as replay:
        elsewhere = ("--api-url", await replay.first_line())
        unknown = (*run, "balances.csv", *elsewhere, "--journal", "other.journal")
        stopped = await place.cli(*unknown, may_end_with=[Exit.REFUSED, Exit.STOPPED])
        replay.signal(signal.SIGTERM)
        ended = await replay.ended()
    assert ("HTTP 404" in stopped.words, ended.exit) == (True, Exit.REJECTED)
    assert "unknown to the recording" in ended.out
    assert "never made" in ended.out
