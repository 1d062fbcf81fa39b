"""The vault: what keeps the secrets of a run (passwords, sessions), which no log or recording contains.

    a row's psw ── seal ──▶ the vault                          the item and the run keep a token, •••<batch>.<number>
    the call    ◀─ open ──  the vault                          only when the call is sent
    the run's end ─ forget ▶ the secrets are deleted

A resumed run needs its secrets again, so they are kept until the run ends: beside a journal that is a file, in a
file that only its owner can read, and from which deleted secrets are wiped; in a journal in PostgreSQL as rows, which
are encrypted with a key that the machines have and the database has not.
"""

import base64
import binascii
import hashlib
import os
import re
import secrets
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import anyio.from_thread
import anyio.to_thread
import msgspec

from billing.api.calls import Call
from billing.database.sql_blocks import sql_block
from billing.secret import PLACEHOLDER, Secret
from checkpoints.errors import JournalError
from checkpoints.journal import UNCLAIMED, KeptSecrets, SealedSecret, keep_secrets, pages_of_secrets
from checkpoints.journal_file import JournalAddress
from checkpoints.own_files import open_beside
from checkpoints.queries import PAGE, Queries
from checkpoints.rows import to_run
from checkpoints.stores import store_of
from jobs.spec.errors import SecretAltered, SecretGone, VaultFailed, VaultLocked
from jobs.spec.parameters import Parameter
from texts.said import VAULT_KEY, VAULT_KEY_FILE, VAULT_KEY_SETTING, Said, command_line, reason_of, said, text_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM


# ---- the file of secrets beside a journal -------------------------------------------------------------------------

_BUSY_SECONDS: Final = 30


@contextmanager
def opened_file(path: Path) -> Iterator[sqlite3.Connection]:
    """The file of secrets with one transaction, which is durable when the context ends. Raises `VaultFailed`."""
    try:
        os.close(open_beside(path, os.O_CREAT | os.O_RDWR))
        with closing(sqlite3.connect(path, timeout=_BUSY_SECONDS)) as database:
            database.execute("pragma secure_delete = on")
            database.execute("pragma synchronous = full")
            # What is not committed stays in memory.
            database.execute("pragma cache_spill = off")
            with database:
                database.execute(vault_block("create"))
                yield database
    except OSError as error:
        raise VaultFailed(
            "the secrets cannot be kept in {path}: {reason}", path=path, reason=reason_of(error)
        ) from error
    except sqlite3.Error as error:
        raise VaultFailed("the secrets in {path} cannot be used: {error}", path=path, error=error) from error


def vault_block(name: str) -> str:
    return sql_block("vault", name, "jobs.access").text


# ---- the vault ----------------------------------------------------------------------------------------------------

BATCH: Final = "input_secrets"
"""The parameter in which a run keeps the batch of its secrets."""

_TOKEN: Final = re.compile(rf"{PLACEHOLDER}[0-9a-f]{{16}}\.[0-9a-f]{{16}}")


def vault_path(journal: Path) -> Path:
    return journal.with_name(f"{journal.name}-secrets")


def new_batch() -> str:
    return secrets.token_hex(8)


def is_token(text: str) -> bool:
    return _TOKEN.fullmatch(text) is not None


def mask_secrets(text: str) -> str:
    """A text for people, with plain dots for its tokens."""
    return _TOKEN.sub(PLACEHOLDER, text)


def seal_parameters(
    parameters: Iterable[Parameter], values: Mapping[str, str], batch: str
) -> tuple[dict[str, str], dict[str, Secret]]:
    tokens = {one.name: _minted(batch) for one in parameters if one.secret and values.get(one.name)}
    return {**values, **tokens}, {token: Secret(values[name]) for name, token in tokens.items()}


class Vault:
    """The secrets of one run, under its `batch`, in a file that other runs of the journal share.

    The file is created with the first secret, and deleted ones are wiped from it. Without a path nothing is kept, as
    in a plan, which sends nothing. The methods block, and may be used from threads. All raise `VaultFailed` where
    what is kept cannot be used, and `VaultLocked` where a key is missing.
    """

    def __init__(self, path: Path | None = None, batch: str = "") -> None:
        self._path = path
        self._batch = batch or new_batch()
        # Whether sealed secrets can be opened again.
        self.keeps = path is not None

    def require_key(self) -> "VaultKeys | None":
        """The keys that seal, if any are needed. Raises `VaultLocked` where a secret could not be sealed."""
        return None

    def require_opened(self) -> None:
        """Raise `VaultLocked` where a kept secret of the run could not be opened, so that no row is begun."""

    def seal(self, texts: Sequence[str]) -> list[str]:
        """Save these secrets durably; their tokens."""
        tokens = [_minted(self._batch) for _ in texts]
        self.keep(dict(zip(tokens, map(Secret, texts), strict=True)))
        return tokens

    def keep(self, sealed: Mapping[str, Secret]) -> None:
        """Save secrets durably under existing tokens."""
        if self._path is None or not sealed:
            return
        now = int(time.time())
        rows = [
            {"token": token, "batch": self._batch, "secret": secret.reveal(), "now": now}
            for token, secret in sealed.items()
        ]
        with opened_file(self._path) as database:
            database.executemany(vault_block("seal"), rows)

    def open(self, tokens: Collection[str]) -> dict[str, str]:
        """The secrets by their tokens.

        Raises `SecretGone` for one that is no longer kept, `SecretAltered` for one that was changed where it is kept.
        """
        if not tokens:
            return {}
        found = self._find(tokens)
        if not found.keys() >= set(tokens):
            raise SecretGone
        return found

    def _find(self, tokens: Collection[str]) -> dict[str, str]:
        """The secrets of these tokens, as far as they are kept."""
        if self._path is None or not self._path.exists():
            return {}
        with opened_file(self._path) as database:
            found = {token: database.execute(vault_block("open"), {"token": token}).fetchone() for token in tokens}
        return {token: str(row[0]) for token, row in found.items() if row is not None}

    @property
    def holds(self) -> bool:
        if self._path is None or not self._path.exists():
            return False
        with opened_file(self._path) as database:
            return database.execute(vault_block("holds"), {"batch": self._batch}).fetchone() is not None

    def forget(self, needed: Collection[str]) -> None:
        """Wipe the run's secrets, and those left behind by killed processes.

        `needed` are the batches of the unfinished runs.
        """
        if self._path is None or not self._path.exists():
            return
        values = {
            "batch": self._batch,
            "before": int(time.time()) - UNCLAIMED,
            "needed": msgspec.json.encode(sorted(set(needed) - {self._batch})).decode(),
        }
        with opened_file(self._path) as database:
            database.execute(vault_block("forget"), values)


async def unseal(vault: Vault | None, call: Call) -> Call:
    """The call with secrets in place of their tokens. Raises `SecretGone`, `SecretAltered` and `VaultFailed`."""
    tokens = set(_TOKEN.findall(msgspec.json.encode(call.steps).decode()))
    if not tokens:
        return call
    if vault is None:
        raise SecretGone
    found = await anyio.to_thread.run_sync(vault.open, tokens)
    steps = tuple(
        msgspec.structs.replace(
            step, arguments={name: _opened(value, found) for name, value in step.arguments.items()}
        )
        for step in call.steps
    )
    return msgspec.structs.replace(call, steps=steps)


def _minted(batch: str) -> str:
    return f"{PLACEHOLDER}{batch}.{secrets.token_hex(8)}"


def _opened(value: object, found: Mapping[str, str]) -> object:
    match value:
        case str():
            return _TOKEN.sub(lambda token: found[token[0]], value)
        case list():
            return [_opened(one, found) for one in value]
        case Mapping():
            return {name: _opened(one, found) for name, one in value.items()}
    return value


# ---- the keys of the vault of a journal in PostgreSQL -------------------------------------------------------------
# AES-256-GCM, with token and batch of a row as associated data.
#
# A text of keys has one key a word, 32 bytes in Base64: the first encrypts, all of them decrypt. A kept secret is 12
# random bytes and what was encrypted, in Base64, beside the id of its key. That id is the head of a digest: it names
# the key, and says nothing of it.

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
        keys: list[bytes] = []
        for word in (word for line in lines for word in line.split()):
            try:
                # Both alphabets of Base64 are in use.
                keys.append(base64.b64decode(word.translate(str.maketrans("-_", "+/")), validate=True))
            except (binascii.Error, ValueError) as error:
                raise NoVaultKey(said("it has a word that is not Base64")) from error
            if len(keys[-1]) != KEY_BYTES:
                raise NoVaultKey(said("it has a word that is not a key of {n} bytes", n=KEY_BYTES))
        if not keys:
            raise NoVaultKey(said("it is empty"))
        return cls(_id_of(keys[0]), {_id_of(key): key for key in keys})

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self._by_id)

    def seal(self, token: str, batch: str, secret: Secret) -> SealedSecret:
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
    return base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def _id_of(key: bytes) -> str:
    return hashlib.sha256(_PURPOSE + key).hexdigest()[:_ID_LETTERS]


def _bound(token: str, batch: str) -> bytes:
    """What a secret is bound to: in another row it is refused."""
    return _PURPOSE + f"{token}\0{batch}".encode()


def _cipher(key: bytes) -> "AESGCM":
    # psycopg, which has the rows, comes with the same extra; a command without such a journal starts without this.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - an extra

    return AESGCM(key)


# ---- the secrets of a journal in PostgreSQL -----------------------------------------------------------------------
# Rows of the journal, encrypted before they leave the process.


class SecretTable(Vault):
    """The secrets of a run in an open journal; used from worker threads of its event loop.

    Without `keys`, for the reason `why`, secrets are only counted and deleted. What concerns the connection raises
    `JournalError`.
    """

    def __init__(
        self, kept: KeptSecrets, journal: str, keys: VaultKeys | None, why: str | None = None, batch: str = ""
    ) -> None:
        super().__init__(batch=batch)
        self.keeps = True
        self._kept = kept
        self._journal = journal
        self._keys = keys
        self._why = why

    def keep(self, sealed: Mapping[str, Secret]) -> None:
        if sealed:
            keys = self.require_key()
            rows = [keys.seal(token, self._batch, one) for token, one in sealed.items()]
            anyio.from_thread.run(self._kept.keep, rows)

    def _find(self, tokens: Collection[str]) -> dict[str, str]:
        keys = self.require_key()
        try:
            rows = anyio.from_thread.run(self._kept.find, tokens)
        except JournalError as error:
            raise VaultFailed(text_of(error)) from error
        return {row.token: keys.open(row) for row in rows}

    @property
    def holds(self) -> bool:
        return bool(anyio.from_thread.run(self._kept.keys_of, self._batch))

    def forget(self, needed: Collection[str]) -> None:
        """Delete the run's secrets; what PostgreSQL has of them until its next vacuum is encrypted."""
        try:
            anyio.from_thread.run(self._kept.forget, self._batch, needed)
        except JournalError as error:
            raise VaultFailed(text_of(error)) from error

    def require_opened(self) -> None:
        used = anyio.from_thread.run(self._kept.keys_of, self._batch)
        if not used:
            return
        keys = self.require_key()
        if missing := sorted(used - set(keys.ids)):
            raise VaultLocked(missing_keys(self._journal, missing, keys.ids))

    def require_key(self) -> VaultKeys:
        if self._keys is None:
            raise VaultLocked(self._why or no_key(self._journal))
        return self._keys


def no_key(journal: str) -> Said:
    return said(
        "passwords and sessions of rows are kept encrypted in {journal}, and no key is set for them. Make one, once "
        "for all machines:\n{command}\nand name the file in the settings of each machine:\n{setting}",
        journal=journal,
        command=command_line("journal", "key", VAULT_KEY_FILE),
        setting=VAULT_KEY_SETTING,
    )


def missing_keys(journal: str, missing: Collection[str], ours: Collection[str]) -> Said:
    return said(
        "passwords and sessions in {journal} are encrypted with key {missing}, and {setting} has {ours} here. Add "
        "the key of the machine that has read the rows: nothing of them is lost",
        setting=VAULT_KEY,
        journal=journal,
        missing=tuple(missing),
        ours=tuple(ours),
    )


# ---- the secrets of rows that are to be sent, taken along when a journal is copied --------------------------------
# Opened, and sealed anew.

FindKeys: TypeAlias = Callable[[], VaultKeys | None]

_NOT_EQUAL: Final = said("the secrets would not be the same in the copy, so nothing was copied")


class _Opened(NamedTuple):
    """A secret in clear, between two journals."""

    token: str
    batch: str
    secret: Secret


class SecretCopy:
    """Copies the secrets of a journal's runs inside the copy of the journal; blocks.

    `find_keys` is asked where one of the two is in PostgreSQL and there is a secret; its error is passed on. `copied`
    is the number of secrets.
    """

    def __init__(self, source: JournalAddress, target: JournalAddress, find_keys: FindKeys) -> None:
        self._source, self._target = source, target
        self._find_keys = find_keys
        self._has_written = False
        self.copied = 0

    def check(self) -> None:
        """Raise `VaultLocked` where a key is missing, before anything is copied."""
        with store_of(self._source).look() as db:
            if db is None or next(self._kept(db, _batches(db)), None) is None:
                return
        if self._target.is_shared:
            self._keys_for(self._target)

    def __call__(self, old: Queries, new: Queries) -> None:
        """Write all secrets, and read them back. Raises `VaultFailed`, also where they are not equal."""
        batches = _batches(old)
        if self._target.is_shared:
            for page in self._kept(old, batches):
                keys = self._keys_for(self._target)
                keep_secrets(new, [keys.seal(*one) for one in page])
            self._compare(self._kept(old, batches), self._in_table(self._target, new, batches))
            return
        path = _file_of(self._target)
        if not path.exists() and next(self._kept(old, batches), None) is None:
            return
        self._has_written = True
        # One transaction, whose end is just before that of the journal.
        with opened_file(path) as database:
            # The journal has no run yet: what is here was left by a copy that was killed.
            database.execute(vault_block("wipe"))
            for page in self._kept(old, batches):
                rows = [{"token": one.token, "batch": one.batch, "secret": one.secret.reveal()} for one in page]
                database.executemany(vault_block("copy"), rows)
            self._compare(self._kept(old, batches), _in_file(database, batches))

    def undo(self) -> None:
        """Wipe what was written into a file, for a copy that has failed behind it."""
        if self._has_written:
            with opened_file(_file_of(self._target)) as database:
                database.execute(vault_block("wipe"))

    def _compare(self, there: Iterator[list[_Opened]], here: Iterator[list[_Opened]]) -> None:
        for page in there:
            if next(here, None) != page:
                raise VaultFailed(_NOT_EQUAL)
            self.copied += len(page)
        if next(here, None) is not None:
            raise VaultFailed(_NOT_EQUAL)

    def _kept(self, db: Queries, batches: Sequence[str]) -> Iterator[list[_Opened]]:
        if self._source.is_shared:
            yield from self._in_table(self._source, db, batches)
        elif (path := _file_of(self._source)).exists():
            with opened_file(path) as database:
                yield from _in_file(database, batches)

    def _in_table(self, where: JournalAddress, db: Queries, batches: Sequence[str]) -> Iterator[list[_Opened]]:
        for page in pages_of_secrets(db, batches):
            keys = self._keys_for(where)
            if missing := sorted({row.key_id for row in page} - set(keys.ids)):
                raise VaultLocked(missing_keys(str(where), missing, keys.ids))
            yield [_Opened(row.token, row.batch, Secret(keys.open(row))) for row in page]

    def _keys_for(self, where: JournalAddress) -> VaultKeys:
        keys = self._find_keys()
        if keys is None:
            raise VaultLocked(no_key(str(where)))
        return keys


def _batches(db: Queries) -> list[str]:
    runs = map(to_run, db.all("runs"))
    return sorted({run.parameters[BATCH] for run in runs if BATCH in run.parameters})


def _in_file(database: sqlite3.Connection, batches: Sequence[str]) -> Iterator[list[_Opened]]:
    named = msgspec.json.encode(batches).decode()
    after = ""
    while page := [
        _Opened(token, batch, Secret(secret))
        for token, batch, secret in database.execute(
            vault_block("page"), {"after": after, "batches": named, "size": PAGE}
        )
    ]:
        yield page
        after = page[-1].token


def _file_of(journal: JournalAddress) -> Path:
    return vault_path(journal.path.resolve())
