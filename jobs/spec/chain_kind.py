"""What a chain tells of itself: what it does, by its methods, and which of its arguments are secret."""

from collections.abc import Iterator
from enum import Enum, auto
from typing import Final

from billing.api.calls import is_secret
from jobs.spec.chain import Hole, Template, TemplateText, Tree
from jobs.spec.entries import CREATED

GET: Final = "objects.get"
FILTER: Final = "objects.filter"
SET: Final = "set"
SAVE: Final = "save"
DELETE: Final = "delete"
CREATE: Final = "objects.create"
"""Enters the object by itself, and needs no `save` behind it [S]."""

_READING: Final = frozenset({GET, FILTER, "get_user_by_suid"})
_OF_CABINET: Final = "web_cabinet.get_"


class ChainKind(Enum):
    """What a chain does."""

    READS = auto()
    SETS_FIELDS = auto()
    CREATES = auto()
    DELETES = auto()
    ANY = auto()
    """Nobody knows what."""


def kind_of(template: Template) -> ChainKind:
    """What a chain does. Of a method that is not known it is never assumed that it only reads."""
    if all(method in _READING or method.startswith(_OF_CABINET) for method in template.methods):
        return ChainKind.READS
    if names_secret(template):
        # What there was under its name would be read and kept, and held against it.
        return ChainKind.ANY
    if sets_fields(template):
        return ChainKind.SETS_FIELDS
    if template.methods == (GET, DELETE) and template.links[0].arguments:
        return ChainKind.DELETES
    if template.methods[0] == CREATE and template.model in CREATED:
        return ChainKind.CREATES
    return ChainKind.ANY


def sets_fields(template: Template) -> bool:
    """Whether a chain sets fields of one object and saves it, and nothing else, secrets or not."""
    return template.methods == (GET, SET, SAVE) and all(link.arguments for link in template.links[:2])


# ---- secret arguments -----------------------------------------------------------------------------------------


def secret_placeholders(template: Template) -> frozenset[str]:
    """The placeholders of a chain that stand under the name of a secret, as `{"psw": "{word}"}` has one."""
    return frozenset(part.name for _, part in _secret_parts(template) if isinstance(part, Hole))


def describe_secret_arguments(template: Template) -> str:
    """The name of a secret that a chain tells outright, as it would be kept with the run; "" where it tells none.

    Clearing one tells nothing.
    """
    return next((name for name, part in _secret_parts(template) if isinstance(part, str | int) and part != ""), "")


def names_secret(template: Template) -> bool:
    """Whether a chain has to do with a secret at all: what there is under its name may not be read and kept."""
    return any(True for _ in _secret_parts(template))


def _secret_parts(template: Template) -> Iterator[tuple[str, Hole | str | int | None]]:
    return (found for link in template.links for found in _under_secrets(dict(link.arguments), ""))


def _under_secrets(tree: Tree, secret: str) -> Iterator[tuple[str, Hole | str | int | None]]:
    """What stands under the names of secrets, at any depth, each with that name: placeholders, and values.

    `secret` is the name that the tree itself stands under, "" where it is none of a secret.
    """
    match tree:
        case dict():
            for name, inner in tree.items():
                yield from _under_secrets(inner, secret or (name if is_secret(name) else ""))
        case list():
            for inner in tree:
                yield from _under_secrets(inner, secret)
        case TemplateText(parts) if secret:
            yield from ((secret, part) for part in parts if part)
        case bool():
            return
        case Hole() | str() | int() | None if secret:
            yield secret, tree
