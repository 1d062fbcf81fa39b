"""The man pages say what the help says, in both languages, and each is whole."""

import gzip
from pathlib import Path

import pytest

from cli.completion.options import commands
from tools.package.manual import write_pages
from tools.package.release import Release

RELEASE = Release("1.2.0", "1.2.0", 1767225600)


@pytest.fixture(scope="module")
def manual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("man")
    write_pages(folder, RELEASE)
    return folder


def plain(path: Path) -> str:
    return gzip.decompress(path.read_bytes()).decode().replace("\\-", "-")


@pytest.mark.parametrize("section", ["man1", "ru/man1"])
def test_every_command_has_its_page_with_all_options(manual: Path, section: str) -> None:
    expected = {"-".join(("carbon-migrate", *name.split())): syntax for name, syntax in commands().items()}
    pages = {path.name.removesuffix(".1.gz"): plain(path) for path in (manual / section).iterdir()}
    assert pages.keys() == expected.keys()
    for name, syntax in expected.items():
        missing = [option.name for option in syntax.options if option.name not in pages[name]]
        assert missing == [], name


def test_a_page_is_as_man_wants_it(manual: Path) -> None:
    page = plain(manual / "man1" / "carbon-migrate-demo.1.gz")
    title, name, summary = page.splitlines()[:3]
    assert title == '.TH "CARBON-MIGRATE-DEMO" 1 "2026-01-01" "carbon-migrate 1.2.0"'
    assert (name, summary.partition(" - ")[0]) == (".SH NAME", "carbon-migrate-demo")
    assert "[default: 10000" in page


def test_a_russian_page_is_russian(manual: Path) -> None:
    page = plain(manual / "ru" / "man1" / "carbon-migrate-demo.1.gz")
    assert ".SH ПАРАМЕТРЫ" in page
    assert "[default" not in page
    assert "300 абонентов" in page
