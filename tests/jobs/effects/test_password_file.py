"""The file of generated passwords: its owner's alone, one line an account, whatever was killed on the way."""

import stat
import threading
from pathlib import Path

import pytest

from jobs.effects.password_file import PasswordFile
from jobs.spec.errors import PasswordsUnwritten

HEADER = "\ufeffuser_id;login;password;run k7m2q\r\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.csv"


def opened(path: Path) -> PasswordFile:
    return PasswordFile(path, "k7m2q")


def text_of(path: Path) -> str:
    return path.read_bytes().decode()


def test_the_last_line_of_an_account_holds_and_stands_where_it_was_written(path: Path) -> None:
    file = opened(path)
    for user, login, word in [
        (5, "a", "1st"),
        (6, "b", "2nd"),
        (5, "a", "3rd"),
        (7, "с;о", 'qu"o;te'),
        (6, "b", "=4"),
    ]:
        file.add(user, login, word)
    assert text_of(path).count("\r\n") == 6
    before = path.stat().st_ino
    assert file.finish().accounts == 3
    assert text_of(path) == f'{HEADER}5;a;3rd\r\n7;"с;о";"qu""o;te"\r\n6;b;=4\r\n'
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_ino != before
    assert [entry.name for entry in path.parent.iterdir()] == ["out.csv"]


def test_a_file_with_one_line_an_account_is_left_as_it_is(path: Path) -> None:
    opened(path).add(5, "a", "x")
    before = path.stat().st_ino
    assert opened(path).finish().accounts == 1
    assert path.stat().st_ino == before
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_without_a_file_there_is_nothing_to_finish(path: Path) -> None:
    assert opened(path).finish().accounts == 0
    assert not path.exists()


def test_half_a_line_is_taken_out_when_the_run_goes_on(path: Path) -> None:
    opened(path).add(5, "a", "whole")
    with path.open("ab") as file:
        file.write(b"6;b;ha")
    opened(path).add(7, "c", "next")
    assert text_of(path) == f"{HEADER}5;a;whole\r\n7;c;next\r\n"
    # Half a letter, and the longest of lines.
    with path.open("ab") as file:
        file.write(b"8;" + b"\xd0" * 200_000)
    assert opened(path).finish().accounts == 2
    assert text_of(path) == f"{HEADER}5;a;whole\r\n7;c;next\r\n"


@pytest.mark.parametrize("length", [0, 1, 7, len(HEADER.encode()) - 1])
def test_killed_while_the_file_was_made(path: Path, length: int) -> None:
    path.write_bytes(HEADER.encode()[:length])
    opened(path).add(5, "a", "x")
    assert text_of(path) == f"{HEADER}5;a;x\r\n"


@pytest.mark.parametrize("there", ["mine", "x" * 100, HEADER.replace("k7m2q", "aaaaa")])
def test_a_file_of_another_is_never_touched(path: Path, there: str) -> None:
    path.write_bytes(there.encode())
    for work in (lambda: opened(path).add(5, "a", "x"), opened(path).finish):
        with pytest.raises(PasswordsUnwritten, match="not the file of this run"):
            work()
    assert text_of(path) == there


def test_neither_a_link_is_followed_nor_a_missing_folder_made(path: Path) -> None:
    elsewhere = path.with_name("elsewhere")
    path.symlink_to(elsewhere)
    with pytest.raises(PasswordsUnwritten, match="cannot be written"):
        opened(path).add(5, "a", "x")
    assert not elsewhere.exists()
    with pytest.raises(PasswordsUnwritten, match="cannot be written"):
        opened(path.with_name("nowhere") / "out.csv").add(5, "a", "x")


def test_many_at_one_time(path: Path) -> None:
    file = opened(path)

    def add(first: int) -> None:
        for user in range(first, first + 25):
            file.add(user, f"user{user}", f"word{user}")

    threads = [threading.Thread(target=add, args=(first,)) for first in range(0, 100, 25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert file.finish().accounts == 100
    lines = text_of(path).removeprefix(HEADER).split("\r\n")
    assert sorted(lines) == sorted(["", *(f"{user};user{user};word{user}" for user in range(100))])


def test_what_a_killed_rewriting_has_left_is_in_nobody_s_way(path: Path) -> None:
    file = opened(path)
    file.add(5, "a", "1st")
    file.add(5, "a", "2nd")
    path.with_name(".out.csv.new").write_text("half", encoding="utf-8")
    assert file.finish().accounts == 1
    assert text_of(path) == f"{HEADER}5;a;2nd\r\n"
    assert [entry.name for entry in path.parent.iterdir()] == ["out.csv"]
