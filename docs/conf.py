"""How Sphinx builds the documentation: `make docs`. It needs no network, and a warning is an error."""

import tomllib
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

_PROJECT = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text(encoding="utf-8"))["project"]

project = _PROJECT["name"]
version = release = _PROJECT["version"]
copyright = "carbon-migrate developers"  # noqa: A001 - Sphinx wants it so named
language = "en"
extensions = ["myst_parser"]
exclude_patterns = ["_build"]
myst_heading_anchors = 4
locale_dirs = ["locale"]
gettext_compact = False
gettext_location = False
smartquotes = False
html_theme = "furo"
html_title = f"{project} {release}"
html_copy_source = False


def setup(app: Sphinx) -> None:
    """Show tables as they are: Pygments has no colours for them."""
    app.add_lexer("csv", TextLexer)
