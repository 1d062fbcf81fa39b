"""The keys of the vault of a journal in PostgreSQL: AES-256-GCM, with token and batch of a row as associated data.

A text of keys has one key a word, 32 bytes in Base64: the first encrypts, all of them decrypt. A kept secret is 12
random bytes and what was encrypted, in Base64, beside the id of its key. That id is the head of a digest: it names
the key, and says nothing of it.
"""

import base64
import binascii
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from billing.secret import Secret
from checkpoints.kept_secrets import SealedSecret
from jobs.spec.errors import SecretAltered, VaultLocked
from texts.said import said

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_ID_LETTERS: Final = 12
_PURPOSE: Final = b"carbon-migrate vault 1\0"
_COMMENT: Final = "#"


class NoVaultKey(Exception):
    """Raised for a text that holds no keys; the sentence says why, and shows nothing of it."""


@dataclass(frozen=True, slots=True)
class VaultKeys:
    """The keys of the vault by their ids; `first` is the id of the one that encrypts."""

    first: str
    _by_id: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> "VaultKeys":
        """The keys in the text of a file, a credential or a variable. Raises `NoVaultKey`."""
        lines = (line.partition(_COMMENT)[0] for line in text.splitlines())
        keys = [_key(word) for line in lines for word in line.split()]
        if not keys:
            raise NoVaultKey(said("it is empty"))
        return cls(_id_of(keys[0]), {_id_of(key): key for key in keys})

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all keys, that of the first one first."""
        return tuple(self._by_id)

    def seal(self, token: str, batch: str, secret: Secret) -> SealedSecret:
        """The secret, encrypted with the first key."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = _cipher(self._by_id[self.first]).encrypt(nonce, secret.reveal().encode(), _bound(token, batch))
        return SealedSecret(token, batch, self.first, base64.b64encode(nonce + sealed).decode())

    def open(self, row: SealedSecret) -> str:
        """The secret of a row.

        Raises `VaultLocked` without its key, and `SecretAltered` for one that is not as it was encrypted.
        """
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - an extra

        if row.key_id not in self._by_id:
            raise VaultLocked(
                "its secret is encrypted with key {key}, which is not among the keys here", key=row.key_id
            )
        try:
            kept = base64.b64decode(row.sealed, validate=True)
            opened = _cipher(self._by_id[row.key_id]).decrypt(
                kept[:_NONCE_BYTES], kept[_NONCE_BYTES:], _bound(row.token, row.batch)
            )
        except (InvalidTag, ValueError) as error:
            raise SecretAltered from error
        return opened.decode()


def new_key() -> str:
    """The text of a new key."""
    return base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def _key(word: str) -> bytes:
    try:
        # Both alphabets of Base64 are in use.
        key = base64.b64decode(word.translate(str.maketrans("-_", "+/")), validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoVaultKey(said("it has a word that is not Base64")) from error
    if len(key) != KEY_BYTES:
        raise NoVaultKey(said("it has a word that is not a key of {n} bytes", n=KEY_BYTES))
    return key


def _id_of(key: bytes) -> str:
    return hashlib.sha256(_PURPOSE + key).hexdigest()[:_ID_LETTERS]


def _bound(token: str, batch: str) -> bytes:
    """What a secret is bound to: in another row it is refused."""
    return _PURPOSE + f"{token}\0{batch}".encode()


def _cipher(key: bytes) -> "AESGCM":
    # psycopg, which has the rows, comes with the same extra; a command without such a journal starts without this.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - an extra

    return AESGCM(key)
