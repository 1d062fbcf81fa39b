"""The catalogues of the languages: whole, and with the placeholders of the sentences."""

import re
import string
from pathlib import Path

from babel.messages.catalog import Message
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po

from tools.catalogues import catalogues, collected, renewed

(RUSSIAN,) = catalogues()


def messages(path: Path) -> list[Message]:
    with path.open("rb") as file:
        return [one for one in read_po(file, abort_invalid=True) if one.id]


def forms(text: object) -> tuple[str, ...]:
    """The forms of a sentence: one, or one for each kind of number."""
    return tuple(map(str, text)) if isinstance(text, tuple | list) else (str(text),)


def placeholders(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


def test_a_catalogue_has_all_sentences_of_the_code_and_no_others() -> None:
    assert renewed(RUSSIAN, collected()) == RUSSIAN.read_text(encoding="utf-8"), "type: make texts"


def test_a_sentence_about_a_number_is_collected_with_both_forms(tmp_path: Path) -> None:
    for name, text in {
        "engine/a.py": 'counted("{n} row[s] of {run} [is|are] left", n, run=run)',
        "cli/show/a.j2": '{{ some("{n} [entry|entries] left", n) }}',
        "cli/report/report.html": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    found = {one.id for one in collected(tmp_path) if one.pluralizable}
    assert found == {
        ("{n} row of {run} is left", "{n} rows of {run} are left"),
        ("{n} entry left", "{n} entries left"),
    }


def test_brackets_are_taken_for_forms_in_each_sentence_about_a_number_and_in_no_other() -> None:
    for one in messages(RUSSIAN):
        assert not re.search(r"[][|]" if one.pluralizable else r"\w\[|\[[^]]*\|", "".join(forms(one.id))), one.id


def test_each_sentence_is_translated_in_each_form_with_the_same_placeholders() -> None:
    for one in messages(RUSSIAN):
        originals, translated = forms(one.id), forms(one.string)
        assert all(translated), one.id
        assert len(translated) == (3 if len(originals) > 1 else 1), one.id
        assert not one.fuzzy, one.id
        for form in translated:
            assert placeholders(form) == placeholders(originals[-1]), form


def test_what_is_installed_is_compiled_from_it() -> None:
    with RUSSIAN.with_suffix(".mo").open("rb") as file:
        compiled = {forms(one.id): forms(one.string) for one in read_mo(file) if one.id}
    assert compiled == {forms(one.id): forms(one.string) for one in messages(RUSSIAN)}, "type: make .venv/.run"
