"""The vault: what keeps the secrets of a run (passwords, sessions), which no log or recording contains.

    a row's psw ── seal ──▶ the vault                          the item and the run keep a token, •••<batch>.<number>
    the call    ◀─ open ──  the vault                          only when the call is sent
    the run's end ─ forget ▶ the secrets are deleted

A resumed run needs its secrets again, so they are kept until the run ends: beside a journal that is a file, in a
file that only its owner can read, and from which deleted secrets are wiped; in a journal in PostgreSQL as rows, which
are encrypted with a key that the machines have and the database has not.
"""

import re
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import anyio.to_thread
import msgspec

from billing.api.calls import Call
from billing.secret import PLACEHOLDER, Secret
from engine.evidence import NotSent, RowRefused
from jobs.access.secret_file import SecretFile, SecretKeeper
from jobs.spec.errors import SecretAltered, SecretGone, VaultFailed
from jobs.spec.parameters import Parameter
from texts.said import text_of

BATCH: Final = "input_secrets"
"""The parameter in which a run keeps the batch of its secrets."""

_TOKEN: Final = re.compile(rf"{PLACEHOLDER}[0-9a-f]{{16}}\.[0-9a-f]{{16}}")


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
    """The secrets of one run, under its `batch`, in a keeper that other runs share; a path is that of a file.

    Without a keeper nothing is kept, as in a plan, which sends nothing. Its methods block, and may be used from
    threads. All raise `VaultFailed` where what is kept cannot be used, and `VaultLocked` where a key is missing.
    """

    def __init__(self, keeper: SecretKeeper | Path | None = None, batch: str = "") -> None:
        self._keeper = SecretFile(keeper) if isinstance(keeper, Path) else keeper
        self._batch = batch or new_batch()

    @property
    def keeps(self) -> bool:
        """Whether sealed secrets can be opened again."""
        return self._keeper is not None

    def require_key(self) -> None:
        """Raise `VaultLocked` where a secret could not be sealed; does not block."""
        if self._keeper is not None:
            self._keeper.require_key()

    def require_opened(self) -> None:
        """Raise `VaultLocked` where a kept secret of the run could not be opened, so that no row is begun."""
        if self._keeper is not None:
            self._keeper.require_keys_of(self._batch)

    def seal(self, texts: Sequence[str]) -> list[str]:
        """Save these secrets durably; their tokens."""
        tokens = [_minted(self._batch) for _ in texts]
        self.keep(dict(zip(tokens, map(Secret, texts), strict=True)))
        return tokens

    def keep(self, sealed: Mapping[str, Secret]) -> None:
        """Save secrets durably under existing tokens."""
        if self._keeper is not None and sealed:
            self._keeper.keep(self._batch, sealed)

    def open(self, tokens: Collection[str]) -> dict[str, str]:
        """The secrets by their tokens.

        Raises `SecretGone` for one that is no longer kept, `SecretAltered` for one that was changed where it is kept.
        """
        if not tokens:
            return {}
        found = {} if self._keeper is None else self._keeper.find(tokens)
        if not found.keys() >= set(tokens):
            raise SecretGone
        return dict(found)

    @property
    def holds(self) -> bool:
        """Whether secrets of the run are kept."""
        return self._keeper is not None and self._keeper.holds(self._batch)

    def forget(self, needed: Collection[str]) -> None:
        """Wipe the run's secrets, and those left behind by killed processes.

        `needed` are the batches of the unfinished runs.
        """
        if self._keeper is not None:
            self._keeper.forget(self._batch, needed)


async def unseal(vault: Vault | None, call: Call) -> Call:
    """The call with secrets in place of their tokens. Raises `SecretGone`, `SecretAltered` and `VaultFailed`."""
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
    except (SecretGone, SecretAltered) as error:
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
