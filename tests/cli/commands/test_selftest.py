"""`selftest` as a command; `tests/lab/crash/test_selftest.py` has the lab itself."""

from pathlib import Path

from tests.cli.conftest import Typed


def test_what_the_command_refuses(typed: Typed, tmp_path: Path) -> None:
    assert (
        "the lab knows balances, payment, warning-threshold"
        in typed("selftest", "--job", "balance", "--rounds", "1").words
    )
    plan = tmp_path / "plan.toml"
    plan.write_text('[[fault]]\nkind = "500"\n', encoding="utf-8")
    assert typed("selftest", "--plan", str(plan)).exit == 2
    assert "there is no file nowhere.toml" in typed("selftest", "--config", "nowhere.toml").words
