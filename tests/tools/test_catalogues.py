"""Sentences of the code are found wherever they stand."""

import ast

import pytest

from tools.catalogues import sentences


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("said('a {b}', b=c)", ["a {b}"]),
        ("raise Refused(said('one ' 'whole'))", ["one whole"]),
        ("wording('{c}')", ["{c}"]),
        ("counted('{n} row', '{n} rows', number)", [("{n} row", "{n} rows")]),
        ("said('outer {b}', b=(said('inner'), counted('1', '2', n)))", ["outer {b}", "inner", ("1", "2")]),
        ("f'{printable(said(\"note\"))}: '", ["note"]),
        ("said(TABLE[kind], b=c)", []),
        ("told('a')", []),
    ],
)
def test_the_sentences_of_a_syntax_tree(code: str, found: list[str | tuple[str, ...]]) -> None:
    assert list(sentences(ast.parse(code))) == found
