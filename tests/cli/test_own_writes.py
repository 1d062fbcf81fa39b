"""Rows that find what an earlier row of their own run has set: counted, and nobody is warned of them."""

from tests.cli.commands.test_undo import SETTLE, set_thresholds
from tests.cli.conftest import Place

OWN = "found what an earlier row of this run had set"
CHANGED = "changed between plan and call"


def thresholds(place: Place) -> list[int]:
    """Writes a file of subscribers, the first two with one account; their ids."""
    ((account,),) = place.billing.database.query(
        "select first 1 account_id from abonents where is_folder = 0 and deleted = 0 group by account_id "
        "having count(*) > 1 order by account_id"
    )
    of_it = "select first 2 id from abonents where account_id = :account and deleted = 0 order by id"
    of_others = (
        "select first 2 min(id) from abonents where account_id <> :account and is_folder = 0 and deleted = 0 "
        "group by account_id having count(*) = 1 order by 1"
    )
    found = [place.billing.database.query(query, {"account": account}) for query in (of_it, of_others)]
    ids = [number for rows in found for (number,) in rows]
    lines = ["abonent_id;limit_warning", *(f"{one};-{70 + place}" for place, one in enumerate(ids))]
    place.write("\n".join(lines) + "\n", "thresholds.csv")
    return ids


async def test_a_row_that_finds_what_the_run_has_set_is_counted_and_no_warning(place: Place) -> None:
    thresholds(place)
    ended = await place.cli("run", "tariff-threshold", "thresholds.csv", "--yes")
    closing = " ".join(ended.out.split())
    assert CHANGED not in f"{closing} {ended.words}"
    assert f"accepted 1 × {OWN}" in closing
    assert OWN not in ended.words
    assert " warning " not in ended.words


async def test_with_quiet_nothing_is_said_of_it(place: Place) -> None:
    thresholds(place)
    ended = await place.cli("run", "tariff-threshold", "thresholds.csv", "--yes", "--quiet")
    assert (ended.out, ended.err) == ("", "")


async def test_a_run_that_was_killed_still_knows_what_it_has_set(place: Place) -> None:
    ids = thresholds(place)
    place.traffic.model = "AdminAccounts/"
    arguments = ("run", "tariff-threshold", "thresholds.csv", "--yes", "--rate", "1", "--in-flight", "1")
    await place.kill_at(1, *arguments, "--no-canary")
    await set_thresholds(place, ids[-1:], -555)
    ended = await place.cli("resume", "--json", *SETTLE)
    assert ended.closing["states"] == {"accepted": 4}
    assert f"accepted 1 × {OWN}" in ended.words
    # What somebody else has set is told as ever.
    assert f"accepted 1 × {CHANGED}" in ended.words
    assert ended.words.count("and then limit_warning -555") >= 1
