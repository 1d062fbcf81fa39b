"""A package is called as pyproject.toml says, and is refused where tag or changelog say something else."""

import gzip
import subprocess
from pathlib import Path

import pytest

from cli.commands.completion import commands
from tests.packaging.clean_root import ROOT
from tools.manual import write_pages
from tools.package import NotReleasable, Release, check, check_releasable, release_of, sign


def git(folder: Path, *words: str) -> None:
    settings = ("-c", "user.name=A", "-c", "user.email=a@localhost", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *settings, *words], cwd=folder, check=True, capture_output=True)  # noqa: S603, S607


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone of a project of version 1.2.0, whose only commit is of 2026."""
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    for name in ("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"):
        monkeypatch.setenv(name, "1767225600 +0000")
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 1.2.0 – 2026-01-01\n\n## 1.1.0\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "Say hello")
    return tmp_path


def test_a_commit_is_older_than_its_version_but_for_its_tag_and_another_tag_is_refused(clone: Path) -> None:
    release = release_of(clone)
    assert release.version == "1.2.0"
    assert release.debian_version.startswith("1.2.0~20260101000000.")
    older = ["dpkg", "--compare-versions", release.debian_version, "lt", "1.2.0"]
    subprocess.run(older, check=True)  # noqa: S603 - Debian's own comparison
    git(clone, "tag", "v1.2.0")
    assert release_of(clone) == Release("1.2.0", "1.2.0", 1767225600)
    git(clone, "tag", "--delete", "v1.2.0")
    git(clone, "tag", "v1.3.0")
    with pytest.raises(NotReleasable, match=r"the tag v1\.3\.0, and pyproject\.toml says 1\.2\.0"):
        release_of(clone)


def test_a_tag_has_a_heading_and_a_version_to_come_its_changes_under_unreleased() -> None:
    check("1.2.0", [], ["Unreleased", "1.1.0"])
    for tags, headings in ((["1.2.0"], ["Unreleased", "1.1.0"]), (["1.2.0"], ["1.1.0"]), ([], ["1.1.0"])):
        with pytest.raises(NotReleasable, match=r"no heading '## 1\.2\.0'" if tags else r"1\.2\.0"):
            check("1.2.0", tags, headings)


def test_what_is_no_clone_needs_the_time_of_its_source(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (clone / ".git").rename(clone / "no-git")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(clone.parent))
    with pytest.raises(NotReleasable, match="SOURCE_DATE_EPOCH"):
        release_of(clone)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767225600")
    assert release_of(clone).day == "2026-01-01"


def test_a_release_is_a_commit_with_its_tag_and_no_change_since(clone: Path) -> None:
    with pytest.raises(NotReleasable, match=r"no tag: git tag v1\.2\.0"):
        check_releasable(clone, release_of(clone))
    git(clone, "tag", "v1.2.0")
    check_releasable(clone, release_of(clone))
    (clone / "CHANGELOG.md").write_text("# Changelog\n\n## 1.2.0\n")
    with pytest.raises(NotReleasable, match=r"not in the commit: M CHANGELOG\.md"):
        check_releasable(clone, release_of(clone))


def test_the_checksums_are_signed_by_whom_the_source_names_and_by_nobody_else(tmp_path: Path) -> None:
    sums, signers = tmp_path / "SHA256SUMS", tmp_path / "allowed_signers"
    sums.write_text("0" * 64 + "  carbon-migrate.deb\n")
    keys = [tmp_path / name for name in ("releaser", "stranger")]
    for key in keys:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)  # noqa: S603, S607
    public = keys[0].with_suffix(".pub").read_text()
    named = (ROOT / "packaging" / "allowed_signers").read_text()
    signers.write_text(f'{named}release@carbon-migrate namespaces="carbon-migrate" {public}')
    verify: list[str | Path] = [
        "ssh-keygen",
        "-Y",
        "verify",
        "-f",
        signers,
        "-I",
        "release@carbon-migrate",
        "-n",
        "carbon-migrate",
    ]

    def verifies() -> bool:
        command = [*verify, "-s", signature]
        return not subprocess.run(command, input=sums.read_bytes(), capture_output=True, check=False).returncode  # noqa: S603

    signature = sign(sums, keys[0], signers)
    assert verifies()
    sums.write_text("1" * 64 + "  carbon-migrate.deb\n")
    assert not verifies()
    with pytest.raises(NotReleasable, match="a line of allowed_signers"):
        sign(sums, keys[1], signers)
    assert not signature.exists()


# ---- The man pages say what the help says, in both languages, and each is whole


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
        missing = [option.names[0] for option in syntax.options if option.names[0] not in pages[name]]
        assert missing == [], name


def test_a_page_is_as_man_wants_it(manual: Path) -> None:
    page = plain(manual / "man1" / "carbon-migrate-demo.1.gz")
    title, name, summary = page.splitlines()[:3]
    assert title == '.TH "CARBON-MIGRATE-DEMO" 1 "2026-01-01" "carbon-migrate 1.2.0"'
    assert (name, summary.partition(" - ")[0]) == (".SH NAME", "carbon-migrate-demo")
    assert "[default: 10000" in page
    russian = plain(manual / "ru" / "man1" / "carbon-migrate-demo.1.gz")
    assert ".SH ПАРАМЕТРЫ" in russian
    assert "[default" not in russian
    assert "300 абонентов" in russian
