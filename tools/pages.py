"""The documentation as pages: `python -m tools.pages` builds docs/_build, with `--write` it renews docs/locale.

Sphinx builds, sphinx-intl keeps the translations: a paragraph whose English has changed is marked as fuzzy in its
catalogue, and `tests/docs/test_pages.py` fails until somebody has looked at it. Tutorials and how-to pages are
translated, and of reference and explanation the pages that everybody reads; the others are English.

What tools/reference.py makes of the code it makes in each language. A catalogue has only what is left to translate.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cli.terminal.streams import outputs, waiting
from cli.terminal.texts import reading
from texts.said import said
from tools.catalogues import LINE, read_catalogue, text_of
from tools.house import ROOT
from tools.reference import pages

DOCS: Final = ROOT / "docs"
LOCALE: Final = DOCS / "locale"
BUILT: Final = DOCS / "_build"
SOURCE_LANGUAGE: Final = "en"
LANGUAGES: Final = ("ru",)
TRANSLATED: Final = (
    *("index", "tutorial", "how-to", "validated", "glossary", "reference/index", "reference/commands"),
    *("reference/environment", "reference/exit-codes", "reference/import", "reference/input", "reference/job-files"),
    *("reference/jobs", "reference/marks", "reference/metrics", "reference/settings", "reference/fleet-status"),
    *("reference/hook-messages", "explanation/index", "explanation/exactly-once", "explanation/not-promised"),
    *("explanation/comparison", "explanation/profile", "reference/http", "reference/journal"),
    *("explanation/pacing", "explanation/threats"),
)
"""The pages and folders of pages that are translated."""
_CODE: Final = re.compile(r"`[^`]*`|<[^>]*>|\]\([^)]*\)")


def build(language: str, target: Path) -> str:
    """Build the pages of a language as HTML, and return what Sphinx warns of: nothing, where all is well."""
    with _sources(language) as docs:
        return _sphinx("html", docs, target, f"language={language}")


@contextmanager
def _sources(language: str) -> Iterator[Path]:
    """The folder of the pages, with what is made of the code in that language."""
    if language == SOURCE_LANGUAGE:
        yield DOCS
        return
    with tempfile.TemporaryDirectory() as folder, reading(language):
        docs = shutil.copytree(DOCS, Path(folder) / DOCS.name, ignore=shutil.ignore_patterns(BUILT.name))
        for path, text in pages():
            if path.suffix == ".md":
                (docs / path.relative_to(DOCS)).write_text(text, encoding="utf-8")
        # Pages point to files beside the folder.
        for path in ROOT.iterdir():
            if path != DOCS:
                (docs.parent / path.name).symlink_to(path)
        yield docs


def renew(locale: Path = LOCALE) -> None:
    """Take new paragraphs of the translated pages into the catalogues below `locale`, and drop those that are gone.

    A block of code is the same in each language until somebody translates what it shows.
    Raises `RuntimeError` with what Sphinx warns of.
    """
    with tempfile.TemporaryDirectory() as folder:
        english, templates, prose = (Path(folder) / name for name in ("english", "templates", "prose"))
        # No version: a release changes no catalogue.
        blocks = ("version=", "gettext_additional_targets=literal-block")
        with _sources(LANGUAGES[0]) as made:
            faults = _sphinx("gettext", DOCS, english, *blocks) or _sphinx("gettext", made, templates, *blocks)
            if faults := faults or _sphinx("gettext", DOCS, prose, "version="):
                raise RuntimeError(faults)
        for path in templates.rglob("*.pot"):
            page = path.relative_to(templates).with_suffix("")
            if not {page.parts[0], page.parent.as_posix(), page.as_posix()} & {*TRANSLATED}:
                path.unlink()
                continue
            # What differs from the English page is translated already; code is the same in all languages.
            left, source = read_catalogue(path), read_catalogue(english / path.relative_to(templates))
            for one in [*left]:
                if one.id and (one.id not in source or not re.search(r"[^\W\d]", _CODE.sub("", str(one.id)))):
                    left.delete(one.id)
            path.write_text(text_of(left), encoding="utf-8")
        # In a process of its own: it ends its forks by SIGTERM, which a Firebird that is loaded here keeps from them.
        words = ["update", "-d", str(locale), "-p", str(templates), "-w", str(LINE), "--no-obsolete", "-j", "1"]
        words += [word for language in LANGUAGES for word in ("-l", language)]
        subprocess.run([sys.executable, "-m", "sphinx_intl", *words], check=True, capture_output=True)  # noqa: S603 - our own words
        for path in catalogues(locale):
            page = Path(*path.relative_to(locale).parts[2:])
            template = prose / page.with_suffix(".pot")
            if not template.exists():
                path.unlink()
                continue
            catalogue, own = read_catalogue(path), read_catalogue(template)
            for one in catalogue:
                if one.id and not one.string and one.id not in own:
                    one.string = one.id
            catalogue.header_comment = f"# docs/{page.with_suffix('.md')}"
            catalogue.fuzzy = False
            path.write_text(text_of(catalogue), encoding="utf-8")


def catalogues(locale: Path = LOCALE) -> Iterator[Path]:
    """The catalogues of the pages in all languages; that of the words around them has no page."""
    yield from (path for path in sorted(locale.rglob("*.po")) if path.name != "sphinx.po")


def unsettled(path: Path) -> list[str]:
    """The paragraphs of a catalogue that have no translation, or one of an older text."""
    return [str(one.id) for one in read_catalogue(path) if one.id and (one.fuzzy or not one.string)]


def _sphinx(builder: str, docs: Path, target: Path, *settings: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        warnings = Path(folder) / "warnings"
        words = ["-E", "-n", "-b", builder, "-d", f"{folder}/doctrees", "-w", str(warnings)]
        words += [word for one in settings for word in ("-D", one)]
        started = subprocess.Popen(  # noqa: S603 - our own words
            [sys.executable, "-m", "sphinx", *words, str(docs), str(target)],
            # Python's tools end where the system's locale is named and not generated.
            # A fixed date: a catalogue changes with the pages alone.
            env={**os.environ, "SOURCE_DATE_EPOCH": "0", "LC_ALL": "C.UTF-8"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )
        lines = [""]
        with started, waiting(lambda: said("{settings}: {line}", settings=settings[0], line=lines[-1])):
            lines += started.stdout or ()
        told = warnings.read_text(encoding="utf-8") if warnings.exists() else ""
        return told or ("".join(lines) if started.returncode else "")


def main(arguments: Sequence[str]) -> int:
    """Build the pages of all languages, or with `--write` renew their catalogues."""
    if "--write" in arguments:
        renew()
        return 0
    for language in (SOURCE_LANGUAGE, *LANGUAGES):
        target = BUILT / language
        if faults := build(language, target):
            sys.stderr.write(faults)
            return 1
        sys.stdout.write(f"{target.relative_to(ROOT)}/index.html\n")
    return 0


if __name__ == "__main__":
    with outputs():
        code = main(sys.argv[1:])
    sys.exit(code)
