"""Which arguments of a chain are secret."""

from collections.abc import Iterator

from billing.api.calls import is_secret
from jobs.spec.chain import Hole, Template, TemplateText, Tree


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
