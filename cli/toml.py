"""TOML that people write: job files, settings and profiles, with numbers of 64 bits at most, as TOML has them."""

import re
import tomllib
from collections.abc import Iterator
from typing import Final

_LARGEST: Final = 2**63 - 1
_BEYOND_PYTHON: Final = re.compile(r"[0-9_]{4300,}")
"""Python reads no whole number of more digits; what stands there may be a secret, and is not told."""


def parse_toml(text: str) -> dict[str, object]:
    """What a text in TOML says. Raises ValueError with what is wrong in it, and where."""
    try:
        content = tomllib.loads(text)
    except RecursionError:
        raise ValueError("it holds brackets in brackets without end") from None
    except tomllib.TOMLDecodeError:
        raise
    except ValueError:
        found = _BEYOND_PYTHON.search(text)
        line = text.count("\n", 0, found.start()) + 1 if found else 1
        raise ValueError(f"a number has too many digits (at line {line})") from None
    too_large = next((path for path, number in _whole_numbers("", content) if abs(number) > _LARGEST), None)
    if too_large is not None:
        raise ValueError(f"{too_large}: the number has too many digits")
    return content


def _whole_numbers(path: str, value: object) -> Iterator[tuple[str, int]]:
    """Each whole number, and the names that lead to it."""
    match value:
        case int():
            yield path, value
        case dict():
            for name, inner in value.items():
                yield from _whole_numbers(f"{path}.{name}" if path else str(name), inner)
        case list():
            for inner in value:
                yield from _whole_numbers(path, inner)
