"""Secrets of rows in a journal in PostgreSQL, encrypted; the journal has no key, and cannot read them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from checkpoints.queries import PAGE, Queries
from checkpoints.rows import record
from checkpoints.store import Store

UNCLAIMED: Final = 3600
"""Seconds after which the secrets of no known run are deleted."""


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """An encrypted secret: its token and its batch, the id of its key, and its bytes as a text."""

    token: str
    batch: str
    key_id: str
    sealed: str


@dataclass(frozen=True, slots=True)
class KeysInUse:
    """The keys of the kept secrets, with how many each has, and the key that came into use last, "" for none."""

    kept: Mapping[str, int]
    newest: str


class KeptSecrets:
    """The encrypted secrets of an open journal in PostgreSQL. Raises what the store's `read` and `write` raise."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def keep(self, rows: Sequence[SealedSecret]) -> None:
        """Keep secrets; those of a token that is there already take its place."""
        await self._store.write(lambda db: keep_secrets(db, rows))

    async def find(self, tokens: Collection[str]) -> list[SealedSecret]:
        return await self._store.records(SealedSecret, "secrets_by_token", tokens=tokens)

    async def keys_of(self, batch: str) -> frozenset[str]:
        """The ids of the keys that open the secrets of a batch, none where nothing of it is kept."""
        return frozenset(row["key_id"] for row in await self._store.all("keys_of_secrets", batch=batch))

    async def keys_in_use(self) -> KeysInUse:
        def work(db: Queries) -> KeysInUse:
            newest = db.first("newest_secret_key")
            kept = {row["key_id"]: row["kept"] for row in db.each("keys_of_secrets", batch="")}
            return KeysInUse(kept, newest["answer"] if newest else "")

        return await self._store.read(work)

    async def forget(self, batch: str, needed: Collection[str]) -> None:
        """Delete the secrets of a batch, and old ones of batches that are not `needed`."""
        await self._store.do("forget_secrets", batch=batch, needed=needed, unclaimed=UNCLAIMED)


def keep_secrets(db: Queries, rows: Sequence[SealedSecret]) -> None:
    """Keep secrets in the open transaction, and note their keys."""
    db.write("keep_secrets", rows=[asdict(row) for row in rows])
    for key_id in sorted({row.key_id for row in rows}):
        db.write("note_secret_key", key_id=key_id)


def pages_of_secrets(db: Queries, batches: Collection[str]) -> Iterator[list[SealedSecret]]:
    """The secrets of these batches, page by page in the order of their tokens."""
    after = ""
    while found := db.all("page_of_secrets", batches=batches, after=after, size=PAGE):
        page = [record(SealedSecret, row) for row in found]
        yield page
        after = page[-1].token
