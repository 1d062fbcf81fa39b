"""Secrets removed from all that is kept: each becomes `•••`, in every spelling.

Some secrets are known beforehand (the configured form fields and headers), others by their name: the arguments
`psw`, `password`, `hash_key` and `suid`, in a request or in an answer. A secret found in one place of an exchange is
replaced in all of it, because crash pages often print the request.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Final, TypeAlias

import msgspec

from billing.api.answers import UNDECODABLE, charset_of
from billing.api.calls import SECRET_ARGUMENTS
from billing.secret import CHARSETS, PLACEHOLDER, SHORTEST, Mask

SESSIONS: Final = frozenset({"get_or_create_dynamic_session"})
"""Methods whose result is a secret: the session of a cabinet [S]."""
_CHARSETS: Final = (*CHARSETS, "utf-16-le", "utf-16-be")
"""Encodings in which undecodable bytes are searched."""
_DECODER: Final = msgspec.json.Decoder(float_hook=Decimal)
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
# For texts that cannot be parsed: half an answer, a page that prints a form.
_NAMED: Final = (
    rf"(?i)(\b(?:{'|'.join(sorted(SECRET_ARGUMENTS))})\b\\?[\"']?\s*(?:[:=]|%3d)\s*\\?)"
    r"(?:\"[^\"]*|'[^']*|[^\"'&\\\s,;}<>]+)"
)
_NAMED_TEXT: Final = re.compile(_NAMED)
_NAMED_BYTES: Final = re.compile(_NAMED.encode())

Pairs: TypeAlias = list[tuple[str, str]]


class SecretRemover:
    """Removes the configured secrets: `fields` are names of form fields, `secrets` are values from anywhere."""

    def __init__(self, fields: Collection[str] = (), secrets: Iterable[str] = ()) -> None:
        self._fields = {name.casefold() for name in fields} | SECRET_ARGUMENTS
        self._mask = Mask(secrets)

    def knowing(self, secrets: Iterable[str]) -> "SecretRemover":
        more = self._mask.knowing(secrets)
        return self if more is self._mask else SecretRemover(self._fields, more.secrets)

    def secrets_in(self, form: Pairs) -> Iterator[str]:
        for name, value in form:
            if name.casefold() in self._fields:
                yield value
            elif (parsed := nested_json(value)) is not None:
                yield from _named(parsed)

    def form(self, form: Pairs) -> Pairs:
        """The form without secrets; an empty value stays, because it shows that something is cleared."""
        return [
            (self.text(name), PLACEHOLDER if value and name.casefold() in self._fields else self.text(value))
            for name, value in form
        ]

    def text(self, text: str) -> str:
        """A text without secrets; JSON stays JSON, and a text without secrets is unchanged."""
        parsed = nested_json(text)
        # A secret may look like JSON itself.
        if parsed is None or text in self._mask.secrets:
            return self._mask(text)
        concealed = self._value(parsed)
        return text if concealed == parsed else json_text(concealed)

    def body(self, headers: Mapping[str, str], body: bytes, methods: Collection[str] = ()) -> bytes:
        """The body of an answer without secrets, in its own encoding.

        `methods` are the methods called, because the result of some is a secret. Bytes that do not fit the charset of
        the answer are searched in the usual charsets.
        """
        charset = charset_of(headers)
        try:
            text = body.decode(charset)
        except (LookupError, UnicodeError):
            return self._bytes(body)
        if "\0" in text:
            # Most UTF-16 text is valid UTF-8 as well.
            return self._bytes(body)
        parsed = nested_json(text.removeprefix("\ufeff"))
        if parsed is None:
            concealed = _NAMED_TEXT.sub(rf"\1{PLACEHOLDER}", self._mask(text))
            return body if concealed == text else concealed.encode(charset, "replace")
        found = list(_named(parsed))
        if isinstance(parsed, dict) and not SESSIONS.isdisjoint(methods):
            found += _strings(parsed.get("result"))
        shown = self.knowing(found)._value(parsed)  # noqa: SLF001 — of the same class
        return body if shown == parsed else json_text(shown).encode(charset, "replace")

    def _value(self, value: object) -> object:
        match value:
            case str():
                return self.text(value)
            case dict():
                return {
                    self._mask(str(name)): PLACEHOLDER if _is_secret(name, item) else self._value(item)
                    for name, item in value.items()
                }
            case list():
                return [self._value(item) for item in value]
            case int() | Decimal() if len(str(value)) >= SHORTEST and str(value) in self._mask.secrets:
                return PLACEHOLDER
        return value

    def _bytes(self, body: bytes) -> bytes:
        numbers = [secret for secret in self._mask.secrets if secret.isdecimal() and len(secret) >= SHORTEST]
        for charset in _CHARSETS:
            mark = PLACEHOLDER.encode(charset, "replace")
            for spelling in (*self._mask.spellings, *numbers):
                try:
                    body = body.replace(spelling.encode(charset), mark)
                except UnicodeError:
                    continue
        return _NAMED_BYTES.sub(rb"\1" + PLACEHOLDER.encode(), body)


def nested_json(text: str) -> object:
    """The object or list of a JSON text, its numbers exact; None for any other text."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return _DECODER.decode(text)
    except UNDECODABLE:
        return None


def json_text(value: object) -> str:
    return _ENCODER.encode(value).decode()


def _is_secret(name: object, value: object) -> bool:
    if not (isinstance(name, str) and name.casefold() in SECRET_ARGUMENTS):
        return False
    return bool(value) and not isinstance(value, bool)


def _named(value: object) -> Iterator[str]:
    match value:
        case dict():
            for name, item in value.items():
                if _is_secret(name, item):
                    yield from _strings(item)
                else:
                    yield from _named(item)
        case list():
            for item in value:
                yield from _named(item)
        case str() if (parsed := nested_json(value)) is not None:
            yield from _named(parsed)


def _strings(value: object) -> list[str]:
    if isinstance(value, dict | list):
        return [text for item in (value.values() if isinstance(value, dict) else value) for text in _strings(item)]
    return [str(value)] if isinstance(value, str | Decimal | int) and not isinstance(value, bool) else []
