"""Secrets on their way: kept until they are sent, sealed by keys, gone when their run is at its end."""

import base64
import stat
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.api.calls import Call, ChainStep
from billing.secret import Secret
from checkpoints.kept_secrets import SealedSecret
from jobs.access.vault import Vault, is_token, mask_secrets, seal_parameters, unseal
from jobs.access.vault_keys import KEY_BYTES, NoVaultKey, VaultKeys
from jobs.spec.errors import SecretAltered, SecretGone, VaultFailed, VaultLocked
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


# The same in each process: xdist compares the names of the tests.
OLD, NEW = (base64.urlsafe_b64encode(letter * KEY_BYTES).decode() for letter in (b"o", b"n"))
TOKEN, BATCH = "•••" + "a" * 16 + "." + "b" * 16, "a" * 16

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=3000)


@given(TEXTS)
def test_a_secret_of_any_size_and_characters_comes_back(text: str) -> None:
    sealed = VaultKeys.parse(OLD).seal(TOKEN, BATCH, Secret(text))
    assert VaultKeys.parse(f"{NEW}\n{OLD}\n").open(sealed) == text
    if len(text.encode()) >= KEY_BYTES:
        assert text.encode() not in base64.b64decode(sealed.sealed)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40), st.data())
def test_a_secret_that_is_changed_or_stands_elsewhere_is_refused(text: str, data: st.DataObject) -> None:
    keys = VaultKeys.parse(OLD)
    one = keys.seal(TOKEN, BATCH, Secret(text))
    kept = bytearray(base64.b64decode(one.sealed))
    kept[data.draw(st.integers(0, len(kept) - 1))] ^= data.draw(st.integers(1, 255))
    short = kept[: data.draw(st.integers(0, len(kept) - 1))]
    for row in (
        SealedSecret(TOKEN, BATCH, one.key_id, base64.b64encode(kept).decode()),
        SealedSecret(TOKEN, BATCH, one.key_id, base64.b64encode(short).decode()),
        SealedSecret(TOKEN, BATCH, one.key_id, f"{one.sealed}!"),
        SealedSecret(f"{TOKEN[:-1]}c", BATCH, one.key_id, one.sealed),
        SealedSecret(TOKEN, "c" * 16, one.key_id, one.sealed),
    ):
        with pytest.raises(SecretAltered):
            keys.open(row)


def test_the_first_key_encrypts_and_a_secret_names_the_key_that_it_needs() -> None:
    both, old, new = (VaultKeys.parse(text) for text in (f"# of June\n{NEW} {OLD}", OLD, NEW))
    assert both.ids == (new.first, old.first)
    sealed = both.seal(TOKEN, BATCH, Secret("x"))
    assert sealed.key_id == new.first
    with pytest.raises(VaultLocked, match=new.first):
        old.open(sealed)
    # One secret twice is not the same twice.
    assert both.seal(TOKEN, BATCH, Secret("x")).sealed != sealed.sealed
    assert OLD not in repr(both)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is empty"),
        ("# only a remark", "it is empty"),
        ("geheim", "not Base64"),
        (base64.b64encode(b"x" * 16).decode(), "not a key of 32 bytes"),
        (f"{NEW}\npassword", "a word that is not"),
    ],
)
def test_what_is_no_key_is_refused_without_being_shown(text: str, why: str) -> None:
    with pytest.raises(NoVaultKey, match=why) as refused:
        VaultKeys.parse(text)
    assert not text or text not in str(refused.value)
