"""Digests in place of the keys and values of purged rows: the same row is still recognised, and nothing can be read.

A digest is keyed with the journal's own secret, so the rows of two journals cannot be matched, and no table of
digests made elsewhere fits. Whoever has the journal has the secret as well, and can try all ids: a purged journal is
pseudonymous, not anonymous.
"""

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b
from typing import Final

import msgspec

from texts.said import said

_LENGTH: Final = 16
"""Bytes of a digest: two of a billion rows are alike with a chance of one to 10^20."""

PURGED_VALUE: Final = said("a value that is purged")
"""What a purged row asked for, for people."""


@dataclass(frozen=True, slots=True)
class Digests:
    """The digests of a journal with this secret."""

    secret: str

    def of_key(self, job: str, key: str) -> str:
        """The digest of an item's business key."""
        return self._of("key", job, key)

    def of_values(self, amount: Decimal | str | None, wanted: str | None) -> str:
        """The digest of what a row asks for; equal amounts have equal digests, however they are written."""
        plain = None if amount is None else format((Decimal(amount) + 0).normalize(), "f")
        return self._of("values", plain, wanted)

    def _of(self, *parts: str | None) -> str:
        # A text for people is a string of its own kind, which is not encoded.
        text = msgspec.json.encode([None if part is None else str(part) for part in parts])
        return blake2b(text, key=bytes.fromhex(self.secret), digest_size=_LENGTH).hexdigest()


def new_secret() -> str:
    """A new secret."""
    return secrets.token_hex(_LENGTH)


def stored_keys(digests: Digests | None, job: str, keys: Collection[str]) -> list[tuple[str, str]]:
    """Each key with the forms in which an item of the job may have it."""
    pairs = [(key, key) for key in keys]
    return pairs if digests is None else [*pairs, *((key, digests.of_key(job, key)) for key in keys)]
