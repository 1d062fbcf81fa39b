"""Business keys: the values that make two rows the same entry, as one text."""

from collections.abc import Iterable


def joined(values: Iterable[str]) -> str:
    r"""The values with "/" between them, as `94/127`; of as many other values it is another text.

    What is "/" or "\" in a value gets a "\" before it, but for the last one, behind which nothing follows that could
    be taken for a part of it. So one value is its own key, whatever is in it.
    """
    *first, last = tuple(values) or ("",)
    return "/".join([*map(_escaped, first), last])


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("/", "\\/")
