"""Secrets on their way: kept until they are sent, and gone from the file when their run is at its end."""

import stat
import time
from pathlib import Path

import pytest

from billing.api.calls import Call, ChainStep
from billing.secret import Secret
from jobs.access.vault import Vault, is_token, mask_secrets, seal_parameters, unseal
from jobs.spec.errors import SecretGone, VaultFailed
from jobs.spec.parameters import Parameter

WORD = "Пароль\"7'\\"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "secrets"


def test_what_is_sealed_is_opened_by_another_process_s_vault_too(path: Path) -> None:
    tokens = Vault(path, "a" * 16).seal([WORD, "zwei", WORD])
    assert len(set(tokens)) == 3
    assert Vault(path, "b" * 16).open(tokens) == dict(zip(tokens, [WORD, "zwei", WORD], strict=True))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_token_says_nothing_and_is_known_as_one() -> None:
    (token,) = Vault().seal([WORD])
    assert is_token(token)
    assert WORD not in token
    assert mask_secrets(f"psw={token} dontshow=no") == "psw=••• dontshow=no"
    assert not is_token("•••")
    assert not is_token(f"{token}x")


def test_no_file_is_made_where_there_is_nothing_to_keep(path: Path) -> None:
    vault = Vault(path)
    vault.keep({})
    vault.forget([])
    with pytest.raises(SecretGone):
        vault.open(["•••"])
    assert not path.exists()


def test_what_is_forgotten_is_gone_from_the_bytes_of_the_file(path: Path) -> None:
    mine, other = Vault(path, "a" * 16), Vault(path, "b" * 16)
    tokens = mine.seal([f"{WORD}{number}" for number in range(500)])
    (kept,) = other.seal(["andere"])
    assert WORD.encode() in path.read_bytes()
    mine.forget(["b" * 16])
    assert WORD.encode() not in path.read_bytes()
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    with pytest.raises(SecretGone):
        mine.open(tokens[:1])
    assert other.open([kept]) == {kept: "andere"}


def test_what_no_run_claims_is_wiped_once_it_is_old(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    orphan, needed, mine = Vault(path, "a" * 16), Vault(path, "b" * 16), Vault(path, "c" * 16)
    (lost,) = orphan.seal(["eins"])
    (waits,) = needed.seal(["zwei"])
    mine.forget(["b" * 16])
    # Its process may be about to enter its run.
    assert orphan.open([lost]) == {lost: "eins"}
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 2 * 3600)
    mine.forget(["b" * 16])
    assert needed.open([waits]) == {waits: "zwei"}
    with pytest.raises(SecretGone):
        orphan.open([lost])


def test_without_a_path_nothing_is_kept() -> None:
    vault = Vault()
    assert not vault.keeps
    with pytest.raises(SecretGone):
        vault.open(vault.seal([WORD]))


def test_a_file_that_is_no_vault_is_a_sentence(path: Path) -> None:
    path.write_text("this is no database, and it is long enough to be taken for one" * 20, encoding="utf-8")
    with pytest.raises(VaultFailed, match="cannot be used"):
        Vault(path).seal([WORD])
    with pytest.raises(VaultFailed, match="cannot be kept"):
        Vault(path / "below").seal([WORD])


def test_only_what_is_marked_as_secret_is_veiled() -> None:
    parameters = (Parameter("psw", "", secret=True), Parameter("suid", "", secret=True), Parameter("dontshow", ""))
    values, secrets = seal_parameters(parameters, {"psw": WORD, "suid": "", "dontshow": "no"}, "a" * 16)
    assert values | {"psw": ""} == {"psw": "", "suid": "", "dontshow": "no"}
    assert secrets == {values["psw"]: Secret(WORD)}


async def test_a_call_gets_its_secrets_wherever_their_tokens_stand(path: Path) -> None:
    vault = Vault(path)
    one, two = vault.seal([WORD, "1234"])
    call = Call(
        "Users", (ChainStep("a", {"psw": one, "n": 5}), ChainStep("b", {"in": [{"x": f"<{two}>"}, True, None]}))
    )
    opened = await unseal(vault, call)
    assert [step.arguments for step in opened.steps] == [{"psw": WORD, "n": 5}, {"in": [{"x": "<1234>"}, True, None]}]
    plain = Call("Users", (ChainStep("a", {"psw": ""}),))
    assert await unseal(None, plain) is plain
    with pytest.raises(SecretGone):
        await unseal(None, call)
