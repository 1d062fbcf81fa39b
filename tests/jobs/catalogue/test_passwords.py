"""What the jobs on passwords take, and what they refuse."""

from pathlib import Path

import pytest

from jobs.catalogue.passwords import PASSWORD, PASSWORD_RECOVERY, PASSWORDS, RANDOM_PASSWORD
from jobs.spec.errors import ParameterRefused
from jobs.spec.spec import parameters_of


def test_passwords_are_secret_and_their_file_is_new() -> None:
    assert [one.name for kind in PASSWORDS for one in kind.parameters if one.secret] == ["psw"]
    assert [one.name for kind in PASSWORDS for one in kind.parameters if one.makes_file] == ["to"]


def test_what_is_wrong_with_a_password_is_told_without_it() -> None:
    for word in ("Sekret-7" * 40, "Sekret-7\nx"):
        with pytest.raises(ParameterRefused) as refused:
            parameters_of(PASSWORD, {"user_id": "5", "psw": word})
        assert "psw: the text has" in str(refused.value)
        assert "Sekret" not in str(refused.value)


def test_dontshow_is_yes_or_no() -> None:
    assert parameters_of(PASSWORD, {})["dontshow"] == "no"
    with pytest.raises(ParameterRefused, match="none of yes, no"):
        parameters_of(PASSWORD, {"dontshow": "true"})


def test_the_file_is_required_and_is_found_again_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert parameters_of(RANDOM_PASSWORD, {"to": "out.csv"})["to"] == str(tmp_path / "out.csv")
    with pytest.raises(ParameterRefused, match="to: is required"):
        parameters_of(RANDOM_PASSWORD, {})
    for text in ("", " ", ".."):
        with pytest.raises(ParameterRefused, match="is not a file"):
            parameters_of(RANDOM_PASSWORD, {"to": text})


@pytest.mark.parametrize("text", ["lk.example.org", "ftp://lk/", "http://", "/recover", "http://[x"])
def test_the_page_of_a_letter_is_an_address(text: str) -> None:
    with pytest.raises(ParameterRefused, match=r"base_url: .*is not an address"):
        parameters_of(PASSWORD_RECOVERY, {"login": "a", "base_url": text})
    good = parameters_of(PASSWORD_RECOVERY, {"login": "a", "base_url": " https://lk.example.org/x "})
    assert good["base_url"] == "https://lk.example.org/x"
