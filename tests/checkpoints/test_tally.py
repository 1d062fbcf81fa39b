"""The tally of an import: what it says of a group, that it is bounded, and how the journal keeps it."""

from decimal import Decimal

import pytest

from checkpoints.address import JournalAddress
from checkpoints.journal import Journal
from checkpoints.tally import (
    ALL_OTHERS,
    MAX_GROUPS,
    Count,
    ExtraSubscriber,
    ImportTally,
    TallyGroup,
    TallyKind,
    arranged,
    summed,
)
from tests.checkpoints.samples import frozen_run, new_item
from tests.checkpoints.shells import shell

NONE, FIVE, SIX = Count(), Count(5, Decimal("12.50")), Count(6, Decimal("12.50"))
EXTRA = ExtraSubscriber(94, "Д94/2018", "Канарейкина Вера", 89, Decimal("-1.00"))
TALLY = ImportTally((TallyGroup(TallyKind.FOLDER, "89", "Улица", FIVE, SIX, extra=Count(1)),), 1, 2, 1, (EXTRA,))


def folder(
    key: int,
    file: Count = FIVE,
    billing: Count = FIVE,
    *,
    not_entered: Count = NONE,
    moved: Count = NONE,
    extra: Count = NONE,
) -> TallyGroup:
    return TallyGroup(TallyKind.FOLDER, str(key), f"Улица {key}", file, billing, not_entered, moved, extra)


@pytest.mark.parametrize(
    ("group", "is_different"),
    [
        (folder(1), False),
        (folder(1, FIVE, SIX), True),
        (folder(1, FIVE, Count(5, Decimal(10))), True),
        (folder(1, FIVE, Count(5, Decimal(10)), moved=Count(1, Decimal("-2.50"))), False),
        (folder(1, FIVE, Count(5, Decimal(10)), moved=Count(1, Decimal("-2.51"))), True),
        # That a difference is known makes it no smaller.
        (folder(1, FIVE, Count(4, Decimal(10)), not_entered=Count(1, Decimal("2.50"))), True),
        (folder(1, extra=SIX), False),
    ],
)
def test_a_group_differs_by_what_later_operations_do_not_explain(group: TallyGroup, *, is_different: bool) -> None:
    assert group.is_different is is_different


def test_different_groups_stand_first_and_the_rest_is_summed_up() -> None:
    last = folder(9_999, FIVE, SIX)
    large = folder(0, Count(10), Count(10))
    tariff = TallyGroup(TallyKind.TARIFF, "1", "Тариф", SIX, SIX)
    found = arranged([tariff, *(folder(key) for key in range(1, MAX_GROUPS + 50)), large, last])
    folders, rest = [one for one in found if one.kind is TallyKind.FOLDER], found[MAX_GROUPS - 1]
    assert (folders[:2], len(folders), found[-1]) == ([last, large], MAX_GROUPS, tariff)
    assert (rest.key, rest.name, rest.groups) == (ALL_OTHERS, "", 52)
    assert summed(folders).file == Count(5 * (MAX_GROUPS + 50) + 10, Decimal("12.50") * (MAX_GROUPS + 50))


async def test_only_the_last_one_has_names_of_subscribers(journal: Journal, journal_address: JournalAddress) -> None:
    run, other = await frozen_run(journal, new_item("a")), await frozen_run(journal, new_item("b"))
    for one in (run, run, other):
        await journal.history.note_verification(one, "olga", {}, TALLY)
    with shell(journal_address) as behind:
        kept = [text for (text,) in behind.execute("select result from verifications order by verification_id")]
    assert [EXTRA.name in text for text in kept] == [False, True, True]
    assert all("Улица" in text for text in kept)
