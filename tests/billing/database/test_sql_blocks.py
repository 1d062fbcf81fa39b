"""Named blocks of SQL and their named parameters."""

import pytest

from billing.database.sql_blocks import SqlStatement, blocks, sql_block


def test_parameters_become_marks_in_their_order() -> None:
    wanted = SqlStatement("x", "select first :size a from t where b = :folder and a > :after")
    assert wanted.bind({"after": 3, "folder": 89, "size": 10}) == (
        "select first ? a from t where b = ? and a > ?",
        (10, 89, 3),
    )


def test_a_sequence_becomes_as_many_marks_as_it_has_values() -> None:
    assert SqlStatement("x", "a in (:ids) and b = :b").bind({"ids": (1, 2, 3), "b": "text"}) == (
        "a in (?, ?, ?) and b = ?",
        (1, 2, 3, "text"),
    )


def test_colons_in_text_names_and_comments_are_none_of_ours() -> None:
    text = """select ':no', ":no" /* :no */ from t -- :no\nwhere a = :yes"""
    assert SqlStatement("x", text).bind({"yes": 1}) == (text.replace(":yes", "?"), (1,))


def test_a_parameter_without_a_value_is_an_error() -> None:
    with pytest.raises(KeyError, match="folder"):
        SqlStatement("x", "a = :folder").bind({})


@pytest.mark.parametrize(
    ("file", "folder"),
    [("database", "billing.database"), *((name, "billing.directory") for name in ("subscribers", "system"))],
)
def test_every_statement_is_firebird_2_1s(file: str, folder: str) -> None:
    assert blocks(file, folder)
    for block in blocks(file, folder).values():
        words = set(block.text.lower().replace("(", " ").split())
        assert words.isdisjoint({"over", "offset", "fetch", "with", "returning", "lateral"}), block.name


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(KeyError):
        sql_block("subscribers", "no such", "billing.directory")
