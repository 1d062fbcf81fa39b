"""The vault: the file for the secrets of a run (passwords, sessions), which no journal, log or recording contains.

    a row's psw ── seal ──▶ the vault, a file of its own       the item and the run keep a token, •••<batch>.<number>
    the call    ◀─ open ──  the vault                          only when the call is sent
    the run's end ─ forget ▶ the secrets are deleted

A resumed run needs its secrets again, so they are on the disk until the run ends: beside the journal, in a file that
only its owner can read, and from which deleted secrets are wiped.
"""

import os
import re
import secrets
import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import anyio.to_thread
import msgspec

from billing.api.calls import Call
from billing.database.sql_blocks import sql_block
from billing.secret import PLACEHOLDER, Secret
from engine.evidence import NotSent, RowRefused
from jobs.spec.errors import SecretGone, VaultFailed
from jobs.spec.parameters import Parameter
from texts.said import said, text_of

BATCH: Final = "input_secrets"
"""The parameter in which a run keeps the batch of its secrets."""

_TOKEN: Final = re.compile(rf"{PLACEHOLDER}[0-9a-f]{{16}}\.[0-9a-f]{{16}}")
_BUSY_SECONDS: Final = 30
_UNCLAIMED: Final = 3600
"""Seconds after which the secrets of no known run are wiped."""


def vault_path(journal: Path) -> Path:
    """The file for the secrets of a journal's runs."""
    return journal.with_name(f"{journal.name}-secrets")


def new_batch() -> str:
    """A new batch id for the secrets of one run."""
    return secrets.token_hex(8)


def is_token(text: str) -> bool:
    """Whether a text is a token, which stands for a secret."""
    return _TOKEN.fullmatch(text) is not None


def mask_secrets(text: str) -> str:
    """A text for people, with plain dots for its tokens."""
    return _TOKEN.sub(PLACEHOLDER, text)


def seal_parameters(
    parameters: Iterable[Parameter], values: Mapping[str, str], batch: str
) -> tuple[dict[str, str], dict[str, Secret]]:
    """The values of parameters with tokens for the secret ones, and the secrets by their tokens."""
    tokens = {one.name: _minted(batch) for one in parameters if one.secret and values.get(one.name)}
    return {**values, **tokens}, {token: Secret(values[name]) for name, token in tokens.items()}


class Vault:
    """The secrets of one run, under its `batch`, in a file that other runs share.

    Without a `path` nothing is kept, as in a plan, which sends nothing. May be used from threads. The file is created
    with the first secret. All methods raise `VaultFailed` when the file cannot be used.
    """

    def __init__(self, path: Path | None = None, batch: str = "") -> None:
        self._path = path
        self._batch = batch or new_batch()

    @property
    def keeps(self) -> bool:
        """Whether sealed secrets can be opened again."""
        return self._path is not None

    def seal(self, texts: Sequence[str]) -> list[str]:
        """Save these secrets on the disk; their tokens."""
        tokens = [_minted(self._batch) for _ in texts]
        self.keep(dict(zip(tokens, map(Secret, texts), strict=True)))
        return tokens

    def keep(self, sealed: Mapping[str, Secret]) -> None:
        """Save secrets on the disk under existing tokens."""
        if self._path is None or not sealed:
            return
        now = int(time.time())
        rows = [
            {"token": token, "batch": self._batch, "secret": secret.reveal(), "now": now}
            for token, secret in sealed.items()
        ]
        with self._opened(self._path) as database:
            database.execute(_sql("create"))
            database.executemany(_sql("seal"), rows)

    def open(self, tokens: Collection[str]) -> dict[str, str]:
        """The secrets by their tokens. Raises `SecretGone` for one that is no longer kept."""
        if not tokens:
            return {}
        if self._path is None or not self._path.exists():
            raise SecretGone
        with self._opened(self._path) as database:
            database.execute(_sql("create"))
            found = {token: database.execute(_sql("open"), {"token": token}).fetchone() for token in tokens}
        if None in found.values():
            raise SecretGone
        return {token: str(row[0]) for token, row in found.items()}

    @property
    def holds(self) -> bool:
        """Whether secrets of the run are kept."""
        if self._path is None or not self._path.exists():
            return False
        with self._opened(self._path) as database:
            database.execute(_sql("create"))
            return database.execute(_sql("holds"), {"batch": self._batch}).fetchone() is not None

    def forget(self, needed: Collection[str]) -> None:
        """Wipe the run's secrets, and those left behind by killed processes.

        `needed` are the batches of the unfinished runs.
        """
        if self._path is None or not self._path.exists():
            return
        values = {
            "batch": self._batch,
            "before": int(time.time()) - _UNCLAIMED,
            "needed": msgspec.json.encode(sorted(set(needed) - {self._batch})).decode(),
        }
        with self._opened(self._path) as database:
            database.execute(_sql("create"))
            database.execute(_sql("forget"), values)

    @contextmanager
    def _opened(self, path: Path) -> Iterator[sqlite3.Connection]:
        """A connection with one transaction, which is durable when it ends."""
        try:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
            with closing(sqlite3.connect(path, timeout=_BUSY_SECONDS)) as database:
                database.execute("pragma secure_delete = on")
                database.execute("pragma synchronous = full")
                with database:
                    yield database
        except OSError as error:
            raise VaultFailed(
                said("the secrets cannot be kept in {path}: {reason}", path=path, reason=error.strerror or "")
            ) from error
        except sqlite3.Error as error:
            raise VaultFailed(
                said("the secrets in {path} cannot be used: {error}", path=path, error=error)
            ) from error


async def unseal(vault: Vault | None, call: Call) -> Call:
    """The call with secrets in place of their tokens. Raises `SecretGone` and `VaultFailed`."""
    tokens = {token for step in call.steps for token in _tokens(step.arguments)}
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


async def reveal_secrets(vault: Vault | None, call: Call) -> Call | RowRefused | NotSent:
    """The call with its secrets, or the outcome of the row if its secret is not available."""
    try:
        return await unseal(vault, call)
    except SecretGone as error:
        return RowRefused(text_of(error))
    except VaultFailed as error:
        return NotSent(text_of(error))


def _minted(batch: str) -> str:
    return f"{PLACEHOLDER}{batch}.{secrets.token_hex(8)}"


def _tokens(value: object) -> Iterator[str]:
    match value:
        case str():
            yield from _TOKEN.findall(value)
        case list():
            for one in value:
                yield from _tokens(one)
        case Mapping():
            for one in value.values():
                yield from _tokens(one)


def _opened(value: object, found: Mapping[str, str]) -> object:
    match value:
        case str():
            return _TOKEN.sub(lambda token: found[token[0]], value)
        case list():
            return [_opened(one, found) for one in value]
        case Mapping():
            return {name: _opened(one, found) for name, one in value.items()}
    return value


def _sql(name: str) -> str:
    return sql_block("vault", name, "jobs.access").text
