"""The keys of the vault: what they seal they open, in its place alone, and nothing of it is to be seen."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.secret import Secret
from checkpoints.kept_secrets import SealedSecret
from jobs.access.vault_keys import KEY_BYTES, NoVaultKey, VaultKeys
from jobs.spec.errors import SecretAltered, VaultLocked

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
