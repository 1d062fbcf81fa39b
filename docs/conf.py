"""How Sphinx builds the documentation: `make docs`. It needs no network, and a warning is an error."""

import tomllib
from pathlib import Path
from typing import Any

from docutils import nodes
from pygments.lexers.special import TextLexer
from sphinx import locale
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

_PROJECT = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text(encoding="utf-8"))["project"]

project = _PROJECT["name"]
version = release = _PROJECT["version"]
copyright = "carbon-migrate developers"  # noqa: A001 - Sphinx wants it so named
language = "en"
extensions = ["myst_parser"]
exclude_patterns = ["_build", "_templates"]
myst_heading_anchors = 4
locale_dirs = ["locale"]
gettext_compact = False
gettext_location = False
smartquotes = False
html_theme = "furo"
html_title = f"{project} {release}"
html_copy_source = False
templates_path = ["_templates"]
html_context = {"languages": [("en", "In English"), ("ru", "По-русски")]}
html_sidebars = {
    "**": [
        *("sidebar/brand.html", "sidebar/search.html", "sidebar/scroll-start.html", "sidebar/languages.html"),
        *("sidebar/navigation.html", "sidebar/scroll-end.html"),
    ]
}


class TranslatedBlocks(SphinxTransform):
    """Shows blocks of code as the catalogue of their page has them, which Sphinx does for reStructuredText alone."""

    default_priority = 30

    def apply(self, **_: Any) -> None:  # noqa: ANN401 - as docutils calls it
        """Replace the text of each block that has a translation."""
        folders = [str(Path(self.app.srcdir, folder)) for folder in self.config.locale_dirs]
        catalogue, _found = locale.init(folders, self.config.language, self.env.docname)
        for block in self.document.findall(nodes.literal_block):
            text = block.rawsource or block.astext()
            # An empty text is the key of the catalogue's head.
            if text and (shown := catalogue.gettext(text)) != text:
                block.rawsource = shown
                block.clear()
                block.append(nodes.Text(shown))


def setup(app: Sphinx) -> None:
    """Show tables as they are, since Pygments has no colours for them, and screens in the language of the reader."""
    app.add_lexer("csv", TextLexer)
    app.add_transform(TranslatedBlocks)
