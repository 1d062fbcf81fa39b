"""Settings of the client: what is refused before anything is asked, and how long it waits."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.api.client import ClientSettings, Patience
from billing.errors import SettingsError
from billing.secret import Secret


@pytest.mark.parametrize(
    "url",
    [
        "",
        "billing:8082",
        "billing",
        "ftp://billing",
        "file:///etc/passwd",
        "http://",
        "http://:8082",
        "http://h:port",
        "http://h:99999",
        "http://user:s3cret@h",
        "http://user@h",
        "http://h/?hash_key=s3cret",
        "http://h/#x",
        "http://h?",
        "http://h:8082/billing#",
    ],
)
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        ClientSettings(url)
    assert "s3cret" not in str(refusal.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"extra": {"arg1": "x"}},
        {"extra": {"fields": "x"}},
        {"extra": {"": "x"}},
        {"extra": {"hash_key": "k\udcd0y"}},
        {"extra": {"hash\udcd0key": "x"}},
        {"headers": {"Content-Type": "x"}},
        {"headers": {"A B": "x"}},
        {"headers": {"A": "x\r\nB: y"}},
        {"read": 0},
    ],
)
def test_settings_that_are_refused(settings: dict[str, Any]) -> None:
    for name in settings.keys() & {"extra", "headers"}:
        settings = {name: {key: Secret(value) for key, value in settings[name].items()}}
    with pytest.raises(SettingsError):
        ClientSettings("http://h", **settings)


@given(st.text())
def test_any_text_is_an_address_or_refused(url: str) -> None:
    try:
        assert ClientSettings(url).base_url == url
    except SettingsError as refusal:
        assert str(refusal).isprintable()  # noqa: PT017 — either way is right


def test_a_read_is_asked_again_after_half_a_second_at_most_and_then_after_twice_as_long_up_to_eight() -> None:
    assert [Patience().wait(attempt, 1.0, None) for attempt in range(6)] == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]


@given(
    attempt=st.integers(min_value=0, max_value=50),
    chance=st.floats(min_value=0, max_value=1),
    asked=st.none() | st.floats(min_value=0, max_value=3600),
)
def test_patience_waits_at_least_as_long_as_asked(attempt: int, chance: float, asked: float | None) -> None:
    wait = Patience().wait(attempt, chance, asked)
    assert (asked or 0.0) <= wait <= max(asked or 0.0, Patience().longest)
