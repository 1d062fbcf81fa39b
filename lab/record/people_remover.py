"""People removed from a recorded exchange: their values become made-up ones, by the names of their fields.

Ids, sums, dates and states stay. A value that stands in one place of an exchange is replaced in its texts as well,
such as errors and crash pages, and so is what looks like a phone number or an e-mail address. A comment that is sent
becomes `•••`, which matches any text, with its mark; one that is answered keeps its shape and its mark.
"""

import re
from collections.abc import Mapping
from typing import Final

from billing.api.answers import charset_of
from billing.api.secrets import json_text, nested_json
from billing.secret import PLACEHOLDER
from lab.record.matching import RECORDED_MARK
from lab.record.pseudonyms import PersonalKind, Pseudonyms

FIELDS: Final[Mapping[str, PersonalKind]] = {
    **dict.fromkeys(("name", "fio", "first_name", "last_name", "middle_name", "surname"), PersonalKind.NAME),
    **dict.fromkeys(("sms", "phone", "tel", "mobile", "phones"), PersonalKind.PHONE),
    **dict.fromkeys(("email", "mail"), PersonalKind.EMAIL),
    **dict.fromkeys(("ip", "snatip"), PersonalKind.IP),
    **dict.fromkeys(("contract_number", "login", "username", "uid", "mac", "code1c", "document"), PersonalKind.SHAPE),
    **dict.fromkeys(("address", "street", "house", "flat", "city", "passport", "inn"), PersonalKind.SHAPE),
    **dict.fromkeys(("birthday", "attribute_value"), PersonalKind.SHAPE),
    **dict.fromkeys(("descr", "comment", "description"), PersonalKind.COMMENT),
}
"""Fields with something of a person, by name; the fields of an address begin with `a_` [I]."""

_NOBODY: Final = frozenset({"tarif", "usluga", "operator", "operators", "version"})
"""Models whose `name` is nobody's."""

_LOOKUPS: Final = frozenset(
    {"exact", "iexact", "contains", "icontains", "startswith", "range", "gt", "gte", "lt", "lte"}
)
"""The ends of a filter that are no field [D]."""

_PHONE: Final = re.compile(r"(?<![\d.])(?:\+?7|8)[\s(-]*9\d{2}[\s)-]*\d{3}[\s-]*\d{2}[\s-]*\d{2}(?![\d.])")
_EMAIL: Final = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+\w")
_LETTER: Final = re.compile(r"[^\W\d_]")
_SHORTEST: Final = 4
"""Characters of a value that is searched in texts; a shorter one may be a part of anything."""


def kind_of(field: str, model: str = "") -> PersonalKind | None:
    """What a field of a model has of a person, None for nothing; `abonent__name__icontains` is a `name`."""
    *owners, name = [part for part in field.casefold().split("__") if part not in _LOOKUPS] or [""]
    if name == "name" and (owners[-1] if owners else model.casefold()) in _NOBODY:
        return None
    return PersonalKind.SHAPE if name.startswith("a_") else FIELDS.get(name)


class PeopleRemover:
    """Removes the people of one exchange with this model; its form comes before its body."""

    def __init__(self, pseudonyms: Pseudonyms, model: str) -> None:
        self._pseudonyms = pseudonyms
        self._model = model
        self._known: dict[str, str] = {}

    def form(self, form: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """The form with made-up values; what the call is stays."""
        return [(name, self._string(name, value, self._model, is_sent=True)) for name, value in form]

    def body(self, headers: Mapping[str, str], body: bytes) -> bytes:
        """The body of an answer with made-up values; one that cannot be read is `•••`."""
        charset = charset_of(headers)
        try:
            text = body.decode(charset)
        except (LookupError, UnicodeError):
            return PLACEHOLDER.encode()
        parsed = nested_json(text.removeprefix("\ufeff"))
        if parsed is None:
            made_up = self.text(text)
        else:
            # Twice: a text may hold a value that stands behind it.
            self._value("", parsed, self._model)
            again = self._value("", parsed, self._model)
            made_up = text if again == parsed else json_text(again)
        return body if made_up == text else made_up.encode(charset, "replace")

    def text(self, text: str) -> str:
        """A text with the known values of people, phone numbers and addresses made up."""
        if not _LETTER.search(text):
            return text
        for original in sorted(self._known, key=len, reverse=True):
            if original in text:
                text = re.sub(rf"(?<!\w){re.escape(original)}(?!\w)", lambda found: self._known[found[0]], text)
        text = _PHONE.sub(lambda found: self._pseudonyms.of(PersonalKind.PHONE, found[0]), text)
        return _EMAIL.sub(lambda found: self._pseudonyms.of(PersonalKind.EMAIL, found[0]), text)

    def _value(self, name: str, value: object, model: str, *, is_sent: bool = False) -> object:
        kind = kind_of(name, model)
        match value:
            case dict():
                own = value.get("model")
                inner = own if isinstance(own, str) else model
                return {key: self._value(key, item, inner, is_sent=is_sent) for key, item in value.items()}
            case list():
                return [self._value(name, item, model, is_sent=is_sent) for item in value]
            case str():
                return self._string(name, value, model, is_sent=is_sent)
            case int() if kind not in {None, PersonalKind.NAME} and not isinstance(value, bool):
                return int(self._made_up(kind, str(value)))
        return value

    def _string(self, name: str, text: str, model: str, *, is_sent: bool) -> str:
        kind = kind_of(name, model)
        if kind is PersonalKind.COMMENT:
            return self._comment(text, is_sent=is_sent)
        if kind is not None:
            return self._made_up(kind, text)
        if (parsed := nested_json(text)) is not None:
            made_up = self._value(name, parsed, model, is_sent=is_sent)
            return text if made_up == parsed else json_text(made_up)
        # What is sent beside people's fields says what the call is.
        return text if is_sent else self.text(text)

    def _made_up(self, kind: PersonalKind, text: str) -> str:
        made_up = self._pseudonyms.of(kind, text)
        if len(text) >= _SHORTEST and _LETTER.search(text):
            self._known[text] = made_up
        return made_up

    def _comment(self, text: str, *, is_sent: bool) -> str:
        marks = [found[0] for found in RECORDED_MARK.finditer(text)]
        rest = RECORDED_MARK.sub("", text).rstrip()
        if rest:
            rest = PLACEHOLDER if is_sent else self._pseudonyms.of(PersonalKind.COMMENT, rest)
        return " ".join(filter(None, [rest, *marks]))
