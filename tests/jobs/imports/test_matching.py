"""Names of the old billing and the objects that are proposed for them."""

import pytest

from billing.directory.names import NamedObject
from jobs.imports.matching import Match, Matcher, core_of

HERE = Matcher(
    NamedObject(key, (name,))
    for key, name in enumerate(
        [
            "Домашний 50",
            "Домашний 100",
            "Безлимит",
            "Безлимит+",
            "Старт 2019",
            "Ночной",
            "Юрлица 10 Мбит/с",
            "Тариф 1",
            "Тариф 1,5",
            "Ёлка",
            "Ёлка",
        ],
        1,
    )
)
FOLDERS = Matcher(
    [
        NamedObject(1, ("Частный сектор",)),
        NamedObject(2, ("Частный сектор/Ленина 5", "Ленина 5")),
        NamedObject(3, ("Дома",)),
        NamedObject(4, ("Дома/Ленина 7", "Ленина 7")),
        NamedObject(5, ("Посёлок/Ленина 7", "Ленина 7")),
        NamedObject(6, ("Посёлок/Дома", "Дома")),
    ]
)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Домашний 100", 2),
        ("  ДОМАШНИЙ   100 ", 2),
        ("домашний-100", 2),
        ("«Домашний» №100", 2),
        ("Безлимит", 3),
        ("Безлимит +", 4),
        ("Нoчнoй", 6),  # with Latin o
        ("Tариф 1.5", 9),  # with a Latin T
    ],
)
def test_what_differs_in_writing_alone_is_equal(name: str, found: int) -> None:
    proposal = HERE.propose(name)
    assert (proposal.match, proposal.found and proposal.found.id) == (Match.EQUAL, found)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Домашний 100 (архив)", 2),
        ("100 Домашний", 2),
        ("Домашнй 50", 1),
        ("Start 2019", 5),
        ("Nochnoy", 6),
        ("Старт", 5),
        ("Юр. лица 10Мбит", 7),
    ],
)
def test_what_is_alike_is_near_and_never_equal(name: str, found: int) -> None:
    proposal = HERE.propose(name)
    assert (proposal.match, proposal.found and proposal.found.id) == (Match.NEAR, found)
    assert 0 < proposal.likeness < 100


@pytest.mark.parametrize("name", ["Домашний 75", "Тариф 15", "Тариф 3", "Корпоративный", "", "+", "Хомяк"])
def test_another_number_is_another_tariff(name: str) -> None:
    assert HERE.propose(name).match is Match.NONE


def test_of_several_near_ones_the_others_are_named() -> None:
    proposal = HERE.propose("Домашний")
    assert proposal.match is Match.NEAR
    assert proposal.found is not None
    assert {proposal.found.id, *(one.id for one in proposal.others)} == {1, 2}


def test_several_of_one_name_are_a_question() -> None:
    proposal = HERE.propose("елка")
    assert (proposal.match, proposal.found) == (Match.SEVERAL, None)
    assert [one.id for one in proposal.others] == [10, 11]


def test_a_number_that_is_an_id_is_only_proposed() -> None:
    proposal = HERE.propose(" 7 ")
    assert (proposal.match, proposal.found and proposal.found.id) == (Match.ID, 7)
    assert HERE.propose("99999999999999999999").match is Match.NONE


@pytest.mark.parametrize(
    ("path", "match", "found"),
    [
        ("частный сектор / ленина, 5", Match.EQUAL, 2),
        ("Ленина 5", Match.EQUAL, 2),
        ("Дома", Match.EQUAL, 3),  # by its path, before the one of that name further down
        ("Ленина 7", Match.SEVERAL, None),
        ("Посёлок/Ленина 7", Match.EQUAL, 5),
    ],
)
def test_the_path_of_a_folder_goes_before_its_own_name(path: str, match: Match, found: int | None) -> None:
    proposal = FOLDERS.propose(path)
    assert (proposal.match, proposal.found and proposal.found.id) == (match, found)


def test_numbers_are_not_run_together() -> None:
    assert core_of("100 200") != core_of("100200")
    assert core_of("1,5") == core_of("1.5") != core_of("15")
    assert core_of("Тариф100") == core_of("тариф 100")
