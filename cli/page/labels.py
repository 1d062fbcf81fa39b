"""The words of the page, by their keys in its scripts."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from texts.said import Said, said

LABELS: Final[Mapping[str, Said]] = MappingProxyType(
    {
        "runs": said("Runs"),
        "pause": said("Pause"),
        "continue": said("Continue"),
        "stop": said("Stop"),
    }
)
