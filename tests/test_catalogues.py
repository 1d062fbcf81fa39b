"""The catalogues of the languages: whole, and with the placeholders of the sentences."""

import string
from pathlib import Path

import pytest
from babel.messages.catalog import Message
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po

from tools.catalogues import catalogues, collected, renewed

CATALOGUES = list(catalogues())


def messages(path: Path) -> list[Message]:
    with path.open("rb") as file:
        return [one for one in read_po(file, abort_invalid=True) if one.id]


def forms(text: object) -> tuple[str, ...]:
    """The forms of a sentence: one, or one for each kind of number."""
    return tuple(map(str, text)) if isinstance(text, tuple | list) else (str(text),)


def placeholders(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


def test_there_is_russian() -> None:
    assert [path.parts[-3] for path in CATALOGUES] == ["ru"]


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])
def test_a_catalogue_has_all_sentences_of_the_code_and_no_others(path: Path) -> None:
    assert renewed(path, collected()) == path.read_text(encoding="utf-8"), "type: make texts"


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])
def test_each_sentence_is_translated_in_each_form_with_the_same_placeholders(path: Path) -> None:
    for one in messages(path):
        originals, translated = forms(one.id), forms(one.string)
        assert all(translated), one.id
        assert len(translated) == (3 if len(originals) > 1 else 1), one.id
        assert not one.fuzzy, one.id
        for form in translated:
            assert placeholders(form) == placeholders(originals[-1]), form


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])
def test_what_is_installed_is_compiled_from_it(path: Path) -> None:
    with path.with_suffix(".mo").open("rb") as file:
        compiled = {forms(one.id): forms(one.string) for one in read_mo(file) if one.id}
    assert compiled == {forms(one.id): forms(one.string) for one in messages(path)}, "type: make .venv/.run"
