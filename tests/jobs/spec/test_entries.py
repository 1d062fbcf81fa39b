import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpoints.journal import NAME_LETTERS
from jobs.spec.entries import (
    LONGEST_COMMENT,
    LONGEST_TEXT,
    MARK_ROOM,
    find_mark,
    mark_prefix,
    with_mark,
    without_marks,
)

NAMES = st.text(NAME_LETTERS, min_size=5, max_size=5)
NUMBERS = st.integers(1, 10**9)


def test_a_mark_is_short_and_readable() -> None:
    assert with_mark("", "k7m2q", 1042) == "[cm k7m2q/1042]"
    assert with_mark("Миграция балансов", "k7m2q", 1042) == "Миграция балансов [cm k7m2q/1042]"
    assert with_mark("", "k7m2q", 1) == "[cm k7m2q/1]"


@given(text=st.text(max_size=400), name=NAMES, number=NUMBERS, longest=st.integers(24, 300))
def test_the_mark_is_found_again_in_any_comment_of_any_length(
    text: str, name: str, number: int, longest: int
) -> None:
    comment = with_mark(text, name, number, longest=longest)
    assert find_mark(comment) == (name, number)
    assert len(comment) <= longest


def test_the_text_gives_way_to_the_mark() -> None:
    comment = with_mark("x" * 300, "k7m2q", 7)
    assert len(comment) == LONGEST_COMMENT
    assert comment.endswith("x… [cm k7m2q/7]")


def test_a_text_that_fits_exactly_is_left_alone() -> None:
    room = LONGEST_COMMENT - len(" [cm k7m2q/7]")
    assert with_mark("x" * room, "k7m2q", 7) == "x" * room + " [cm k7m2q/7]"
    assert "…" in with_mark("x" * (room + 1), "k7m2q", 7)


def test_a_mark_that_the_text_already_bears_does_not_mislead() -> None:
    assert find_mark(with_mark("again [cm aaaaa/3]", "k7m2q", 7)) == ("k7m2q", 7)


@given(name=NAMES, number=NUMBERS, after=st.text(st.characters(exclude_characters="["), max_size=20))
def test_what_the_billing_adds_behind_it_does_no_harm(name: str, number: int, after: str) -> None:
    assert find_mark(with_mark("text", name, number) + after) == (name, number)


@pytest.mark.parametrize(
    "comment", ["", "Миграция", "[cm k7m2q/]", "[cm k7m2q/01]", "[cm /1]", "[cm k7m2q 1]", "[cm k"]
)
def test_other_comments_have_none(comment: str) -> None:
    assert find_mark(comment) is None


@given(text=st.text(st.characters(exclude_characters="["), max_size=LONGEST_TEXT), name=NAMES, number=NUMBERS)
def test_a_text_of_the_length_that_jobs_take_comes_back_whole(text: str, name: str, number: int) -> None:
    comment = with_mark(text, name, number)
    assert without_marks(comment) == text.rstrip()
    assert mark_prefix(name) in comment
    assert len(comment) <= len(text) + MARK_ROOM


def test_marks_of_all_runs_are_taken_off() -> None:
    assert without_marks("Ввод [cm aaaaa/3] [cm k7m2q/7]") == "Ввод"
    assert without_marks("[cm k7m2q/7]") == ""
    assert without_marks("Ввод [cm k7m2q]") == "Ввод [cm k7m2q]"
