"""Chains with placeholders, as people write them: `objects.get {"id": {id}}`, `set {"limit_warning": "{sum}"}`.

`{name}` takes the row's value of that name, which may be any column name: `{№ договора}`. Within a JSON string it
becomes a part of the text. Alone it becomes a value: a whole number if the text is one, null if it is empty, text
otherwise. A phone, a contract number and other values that are never numbers stay texts. `{{` and `}}` within a
string are braces; any other brace there is refused, because it would be sent unchanged. Libraries do all the
encoding, so a value can break neither JSON nor form.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Final, TypeAlias

import msgspec

from billing.api.calls import NOTHING, SECRET_ARGUMENTS, Call, ChainStep
from billing.directory.models import AMOUNTS
from jobs.spec.columns import KNOWN, normalise_header
from jobs.spec.errors import ParameterRefused
from texts.said import ValueRefused, reason, said, setting

_METHOD: Final = re.compile(r"\s*(?P<method>[A-Za-z_][\w.]*)\s*")
_WHOLE: Final = re.compile(r"0|-?[1-9][0-9]{0,17}")
_HOLE: Final = re.compile(r'\{(?P<name>[^{}":]+)\}')
"""A placeholder; its name must not be empty when normalised. No JSON object begins this way."""
_MARK: Final = re.compile(rf"\{{\{{|\}}\}}|{_HOLE.pattern}")
"""The marks within a string: an escaped brace, or a placeholder."""
_PIECE: Final = re.compile(rf'"(?:\\.|[^"\\])*(?:"|\Z)|{_HOLE.pattern}', re.DOTALL)
"""A string, or a placeholder outside of one."""
_BRACES: Final = re.compile(rf"\\.|{_MARK.pattern}|[{{}}]", re.DOTALL)
"""What is escaped in a string, a mark, or a brace that is neither."""

_TEXTS: Final = frozenset(
    normalise_header(alias)
    for name in (
        *("contract_number", "sms", "phone", "login", "psw", "password", "suid", "email", "mac", "name"),
        *("comment", "descr", "attribute_value", "code1c"),
    )
    for alias in (name, *KNOWN.get(name, ()))
)
"""Normalised names of fields and columns whose values are texts even if they consist of digits."""
_SET: Final = "set"


@dataclass(frozen=True, slots=True)
class Hole:
    """A placeholder that stands alone."""

    name: str


@dataclass(frozen=True, slots=True)
class TemplateText:
    """A string with placeholders: its texts and the placeholders between them."""

    parts: tuple[str | Hole, ...]


Tree: TypeAlias = "bool | int | str | Hole | TemplateText | list[Tree] | dict[str, Tree] | None"


@dataclass(frozen=True, slots=True)
class Link:
    """One method of a chain and the shape of its arguments."""

    method: str
    arguments: Mapping[str, Tree]

    @property
    def places(self) -> tuple[tuple[str, str], ...]:
        return tuple(_places(dict(self.arguments), ""))


@dataclass(frozen=True, slots=True)
class Template:
    """A call with placeholders for its values; `text` has the links as written."""

    model: str
    links: tuple[Link, ...]
    fields: tuple[str, ...]
    text: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for link in self.links for _, name in link.places))

    @property
    def emptying(self) -> frozenset[str]:
        """The placeholders whose value may be empty: those of fields that are set, except money and secrets.

        The key of an object is never empty, because it would find another object.
        """
        places = [(link.method == _SET, field, name) for link in self.links for field, name in link.places]
        guarded = {
            name
            for is_set, field, name in places
            if not is_set or field in AMOUNTS or field.casefold() in SECRET_ARGUMENTS
        }
        return frozenset(name for _, _, name in places if name not in guarded)

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(link.method for link in self.links)

    def fill(self, values: Mapping[str, str]) -> tuple[ChainStep, ...]:
        """The steps with the values of a row. Raises KeyError for a placeholder without a value."""
        return tuple(ChainStep(link.method, fill_arguments(link.arguments, values)) for link in self.links)

    @property
    def digest(self) -> str:
        """The digest of the call without its rows, ten hexadecimal digits: model, methods, and constant arguments.

        The names of placeholders and the order of arguments do not matter.
        """
        places = {name: f"{_BARE}{place}" for place, name in enumerate(self.names)}
        does = [self.model, [[step.method, dict(step.arguments)] for step in self.fill(places)]]
        return blake2b(json.dumps(does, sort_keys=True).encode(), digest_size=5).hexdigest()

    def call(self, values: Mapping[str, str]) -> Call:
        return Call(self.model, self.fill(values), self.fields)

    def described(self, behind: Mapping[str, str] = NOTHING) -> str:
        """The call in one line, with placeholders in braces; `behind` has additions to the texts of fields.

        Example: `AdminAccounts: objects.get(account_id_abonents={id}) → set(limit_warning="{sum}") → save()`.
        """
        steps = []
        for link in self.links:
            values = {name: _as_text(tree) for name, tree in link.arguments.items()}
            values |= {name: f'{values[name][:-1]} {text}"' for name, text in behind.items() if name in values}
            steps.append(f"{link.method}({', '.join(f'{name}={value}' for name, value in values.items())})")
        line = f"{self.model}: {' → '.join(steps)}"
        return f"{line} | {', '.join(self.fields)}" if self.fields else line


def parse(model: str, chain: Sequence[str], fields: Sequence[str] = ()) -> Template:
    """The template of a chain, from its links as typed.

    Raises `ParameterRefused`, with the link and the place in it, for a link that is not a method with a JSON object.
    """
    if not (model.isidentifier() and model.isascii()):
        raise ParameterRefused(
            "{flag}: this is not the name of a model such as AdminAccounts", flag=setting("model", model)
        )
    if not chain:
        example = setting("chain", "'objects.get {\"id\": {id}}'")
        raise ParameterRefused("a call of {model} needs a method: give {example}", model=model, example=example)
    links = tuple(_link(number, text) for number, text in enumerate(chain, 1))
    return Template(model, links, tuple(fields), tuple(text.strip() for text in chain))


_BARE: Final = "\ue002"
"""The first character of a JSON string that stands for a placeholder outside of quotes."""

_SHOWN: Final = 40
_LONGEST_LINK: Final = 200
_LONGEST_NUMBER: Final = 19
_DEEPEST: Final = 30
"""Levels of brackets; what the JSON module reads depends on the version of Python."""


@lru_cache
def _link(number: int, text: str) -> Link:
    written = text.strip()
    shown = written if len(written) <= _LONGEST_LINK else f"{written[:_LONGEST_LINK]}…"
    where = reason("chain, link {number} ({link!r})", "chain", number=number, link=shown)
    found = _METHOD.match(text)
    if found is None:
        raise ParameterRefused("{where}: a method is expected first, as objects.get, set, or save", where=where)
    rest, offset = text[found.end() :], found.end() + 1
    if not rest.strip():
        return Link(found["method"], {})
    marked, shifts = _marked(where, rest, offset)
    try:
        read = json.loads(marked, parse_int=_whole, parse_float=_no_float, object_pairs_hook=_no_twins)
        if not isinstance(read, dict):
            raise ParameterRefused('{where}: the arguments are an object in braces, as {{"id": {{id}}}}', where=where)
        return Link(found["method"], _branches(where, read))
    except json.JSONDecodeError as error:
        # The place in the typed text, from that in the marked one.
        before = [shift for start, shift in shifts if start <= error.pos]
        raise ParameterRefused(
            "{where}, column {column}: this is not JSON: {error}. Names and texts stand in double quotes, a "
            'placeholder as {{name}} or within a text as "{{name}}"',
            where=where,
            column=offset + error.pos - (before[-1] if before else 0),
            error=error.msg,
        ) from error
    except ValueError as error:
        raise ParameterRefused("{where}: {error}", where=where, error=error) from error
    except RecursionError as error:
        raise ParameterRefused("{where}: it holds brackets in brackets without end", where=where) from error


def _marked(where: str, text: str, offset: int) -> tuple[str, list[tuple[int, int]]]:
    """The text, which begins at this column, with marked JSON strings in place of bare placeholders.

    Also by how much what begins at a place of it is shifted. Raises `ParameterRefused` for a brace within a string
    that belongs to no placeholder.
    """
    shifts: list[tuple[int, int]] = []

    def marked(found: re.Match[str]) -> str:
        piece, name = found[0], found["name"]
        for brace in _BRACES.finditer(text, found.start(), found.end()) if name is None else ():
            if brace[0] in {"{", "}"} or (brace["name"] and not normalise_header(brace["name"])):
                end = text.find("}", brace.start()) + 1
                why = said(
                    "{text} is not a placeholder: one is written with the name of its column, {{name}}. For braces "
                    "that are meant write {{{{ and }}}}",
                    text=text[brace.start() : end][:_SHOWN] or brace[0],
                )
                column = offset + brace.start()
                raise ParameterRefused("{where}, column {column}: {error}", where=where, column=column, error=why)
        if name is not None and normalise_header(name):
            piece = json.dumps(f"{_BARE}{name.strip()}", ensure_ascii=False)
            shift = (shifts[-1][1] if shifts else 0) + len(piece) - len(found[0])
            shifts.append((found.end() + shift, shift))
        return piece

    return _PIECE.sub(marked, text), shifts


def _whole(text: str) -> int:
    if len(text) > _LONGEST_NUMBER:
        raise ValueRefused(
            "{text}… has {length} digits, more than any number of the billing: write a text",
            text=text[:_SHOWN],
            length=len(text),
        )
    return int(text)


def _no_float(text: str) -> object:
    raise ValueRefused(
        '{shown} is a number with a point: write money as a text, "{text}"', shown=text[:_SHOWN], text=text
    )


def _no_twins(pairs: list[tuple[str, object]]) -> dict[str, object]:
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueRefused("{name!r} is given twice", name=twice)
    return dict(pairs)


def _branches(where: str, read: Mapping[str, object], level: int = 1) -> dict[str, Tree]:
    """The arguments of an object. Raises `ParameterRefused` for a placeholder as a name, or `RecursionError`."""
    tree: dict[str, Tree] = {}
    for name, value in read.items():
        text = _text(name)
        if name.startswith(_BARE) or isinstance(text, TemplateText):
            raise ParameterRefused("{where}: a placeholder cannot be the name of an argument", where=where)
        tree[text] = _tree(where, value, level + 1)
    return tree


def _tree(where: str, value: object, level: int) -> Tree:
    if level > _DEEPEST:
        raise RecursionError
    match value:
        case str() if value.startswith(_BARE):
            return Hole(value.removeprefix(_BARE))
        case str():
            return _text(value)
        case list():
            return [_tree(where, one, level + 1) for one in value]
        case dict():
            return _branches(where, value, level)
        case None | bool() | int():
            return value
    raise TypeError(f"{value!r} is no JSON value")


def _text(value: str) -> str | TemplateText:
    parts: list[str | Hole] = []
    text = ""
    done = 0
    for mark in _MARK.finditer(value):
        text += value[done : mark.start()]
        done = mark.end()
        if mark["name"]:
            parts += [text, Hole(mark["name"].strip())]
            text = ""
        else:
            text += mark[0][0]
    text += value[done:]
    return TemplateText((*parts, text)) if parts else text


def _places(tree: Tree, field: str) -> Iterator[tuple[str, str]]:
    match tree:
        case Hole(name):
            yield field, name
        case TemplateText(parts):
            yield from ((field, part.name) for part in parts if isinstance(part, Hole))
        case list():
            for one in tree:
                yield from _places(one, field)
        case dict():
            for name, one in tree.items():
                yield from _places(one, name)


def _as_text(tree: Tree) -> str:
    match tree:
        case Hole(name):
            return f"{{{name}}}"
        case TemplateText(parts):
            text = "".join(f"{{{part.name}}}" if isinstance(part, Hole) else part for part in parts)
            return json.dumps(text, ensure_ascii=False)
        case list():
            return f"[{', '.join(map(_as_text, tree))}]"
        case dict():
            return f"{{{', '.join(f'{json.dumps(name)}: {_as_text(one)}' for name, one in tree.items())}}}"
    return json.dumps(tree, ensure_ascii=False)


def fill_arguments(tree: Mapping[str, Tree], values: Mapping[str, str]) -> dict[str, object]:
    """The arguments of a link with the values of a row. Raises KeyError for a placeholder without a value."""
    filled: dict[str, object] = {}
    for field, one in tree.items():
        match one:
            case Hole(name):
                filled[field] = typed(values[name], field, name)
            case TemplateText(("", Hole(name), "")):
                filled[field] = values[name]
            case _:
                filled[field] = _filled(one, values, field)
    return filled


def _filled(tree: Tree, values: Mapping[str, str], field: str) -> object:
    match tree:
        case Hole(name):
            return typed(values[name], field, name)
        case TemplateText(parts):
            return "".join([values[part.name] if isinstance(part, Hole) else part for part in parts])
        case list():
            return [_filled(one, values, field) for one in tree]
        case dict():
            return fill_arguments(tree, values)
    return tree


def typed(text: str, *names: str) -> int | str | None:
    """A text as a JSON value: null if empty, a whole number if written as one, otherwise the text.

    `names` are the names of its field and of its column; if one of them is known for texts, digits stay a text.
    """
    if not text:
        return None
    return text if _WHOLE.fullmatch(text) is None or _has_a_text(names) else int(text)


@lru_cache(maxsize=1024)
def _has_a_text(names: tuple[str, ...]) -> bool:
    return any(normalise_header(name.rpartition("__")[2]) in _TEXTS for name in names)


def chain_text(links: Sequence[str]) -> str:
    return msgspec.json.encode([link.strip() for link in links]).decode()
