"""The kind of a chain, by its methods, and its secret arguments."""

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
"""Creates the object without a `save` after it [S]."""

_READING: Final = frozenset({GET, FILTER, "get_user_by_suid"})
_OF_CABINET: Final = "web_cabinet.get_"


class ChainKind(Enum):
    """The effect of a chain."""

    READS = auto()
    SETS_FIELDS = auto()
    CREATES = auto()
    DELETES = auto()
    ANY = auto()
    """Any other chain; its effect is not known."""


def kind_of(template: Template) -> ChainKind:
    """The kind of a chain. An unknown method is never assumed to only read."""
    if all(method in _READING or method.startswith(_OF_CABINET) for method in template.methods):
        return ChainKind.READS
    if names_secret(template):
        # Other kinds read, keep and compare the fields, which must not happen to a secret.
        return ChainKind.ANY
    if sets_fields(template):
        return ChainKind.SETS_FIELDS
    if template.methods == (GET, DELETE) and template.links[0].arguments:
        return ChainKind.DELETES
    if template.methods[0] == CREATE and template.model in CREATED:
        return ChainKind.CREATES
    return ChainKind.ANY


def sets_fields(template: Template) -> bool:
    """Whether a chain only sets fields of one object and saves it; secrets are included."""
    return template.methods == (GET, SET, SAVE) and all(link.arguments for link in template.links[:2])


# ---- secret arguments -----------------------------------------------------------------------------------------


def secret_placeholders(template: Template) -> frozenset[str]:
    """The placeholders in secret arguments of a chain, such as `word` in `{"psw": "{word}"}`."""
    return frozenset(part.name for _, part in _secret_parts(template) if isinstance(part, Hole))


def describe_secret_arguments(template: Template) -> str:
    """The name of a secret argument with a literal value, which the run would keep; "" without one.

    An empty value, which clears the secret, does not count.
    """
    return next((name for name, part in _secret_parts(template) if isinstance(part, str | int) and part != ""), "")


def names_secret(template: Template) -> bool:
    """Whether a chain has any secret argument, whose present value must not be read or kept."""
    return any(True for _ in _secret_parts(template))


def _secret_parts(template: Template) -> Iterator[tuple[str, Hole | str | int | None]]:
    return (found for link in template.links for found in _under_secrets(dict(link.arguments), ""))


def _under_secrets(tree: Tree, secret: str) -> Iterator[tuple[str, Hole | str | int | None]]:
    """The placeholders and values of secret arguments, at any depth, each with the argument's name.

    `secret` is the name of the secret argument around the tree, "" without one.
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
