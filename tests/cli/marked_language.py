"""A language for tests: English, in which each sentence that a screen renders stands in marks.

Commands that tests type in the process are read in it, and the marks are taken off before a test looks: whatever a
command decides by, writes as JSON or keeps must not depend on the language of the reader.
"""

import json
from typing import Final

from cli.terminal.texts import ENGLISH, CatalogueLanguage, language
from texts.said import Said

BEGIN: Final = "⟦"
END: Final = "⟧"


class MarkedLanguage(CatalogueLanguage):
    def __init__(self) -> None:
        vars(self).update(vars(language(ENGLISH)))

    def render(self, text: str) -> str:
        """The sentence in marks; a text that is none is left alone."""
        rendered = super().render(text)
        return f"{BEGIN}{rendered}{END}" if isinstance(text, Said) else rendered


_MARKED: Final = MarkedLanguage()


def marked_language(name: str) -> CatalogueLanguage:
    return _MARKED if name == ENGLISH else language(name)


def unmarked(output: str) -> str:
    """What was printed, without the marks. Raises `AssertionError` if a line of JSON has some."""
    for line in output.splitlines():
        if line.startswith("{") and BEGIN in line:
            json.loads(line)
            raise AssertionError(f"JSON depends on the language: {line}")
    return output.replace(BEGIN, "").replace(END, "")
