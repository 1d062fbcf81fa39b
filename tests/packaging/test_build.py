"""Packages are the same from the same commit, wherever they are built, and hold what the source holds."""

import hashlib
import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.packaging.clean_root import ROOT
from tests.packaging.conftest import Packages, build
from tools.house import ROOMS
from tools.package import git_lines, pins

pytestmark = [pytest.mark.loops(300), pytest.mark.prove]
OF_THE_WHEEL = (*ROOMS, "carbon_migrate_testing")
FOR_TRANSLATORS = ".po"


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_another_folder_and_another_umask_give_the_same_bytes(packages: Packages, tmp_path: Path) -> None:
    elsewhere = tmp_path / "another place" / "of the source"
    for name in git_lines(ROOT, "ls-files"):
        if (ROOT / name).exists():
            target = elsewhere / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)
    again = tmp_path / "again"
    build(again, elsewhere, umask=0o077)
    assert digests(again) == digests(packages.folder)
    shutil.rmtree(again)


def test_the_checksums_are_those_of_all_files(packages: Packages) -> None:
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=packages.folder, check=True)  # noqa: S607
    named = {line.split("  ")[1] for line in packages.one("SHA256SUMS").read_text().splitlines()}
    assert named == digests(packages.folder).keys() - {"SHA256SUMS"}


def test_the_wheel_holds_what_the_source_holds_and_nothing_else(packages: Packages) -> None:
    source = {name for name in git_lines(ROOT, "ls-files", *OF_THE_WHEEL) if not name.endswith(FOR_TRANSLATORS)}
    compiled = {re.sub(r"\.po$", ".mo", name) for name in git_lines(ROOT, "ls-files", "cli/locale/*.po")}
    with zipfile.ZipFile(packages.one("*.whl")) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        (entries,) = (name for name in wheel.namelist() if name.endswith("/entry_points.txt"))
        assert "carbon-migrate = cli.main:main" in wheel.read(entries).decode()
    assert compiled
    assert names == source | compiled


def test_the_list_of_parts_has_every_pinned_package(packages: Packages) -> None:
    parts = json.loads(packages.one("*.cdx.json").read_text(encoding="utf-8"))
    assert parts["metadata"]["component"]["name"] == "carbon-migrate"
    found = {(normal(one["name"]), one["version"]) for one in parts["components"]}
    here = (pin.partition(" ")[0] for pin in pins() if "sys_platform == 'win32'" not in pin)
    wanted = {(normal(name), version) for name, version in (pin.split("==") for pin in here)}
    assert found - {("carbon-migrate", parts["metadata"]["component"]["version"])} == wanted


def test_the_provenance_is_of_this_commit_and_has_every_file(packages: Packages) -> None:
    statement = json.loads(packages.one("*.provenance.json").read_text(encoding="utf-8"))
    subject = {one["name"]: one["digest"]["sha256"] for one in statement["subject"]}
    beside = {"SHA256SUMS", packages.one("*.provenance.json").name}
    assert subject == {name: digest for name, digest in digests(packages.folder).items() if name not in beside}
    sources = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert sources[0]["digest"]["gitCommit"] == git_lines(ROOT, "rev-parse", "HEAD")[0]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_no_file_says_where_it_was_built(packages: Packages, tmp_path: Path) -> None:
    subprocess.run(["dpkg-deb", "--extract", packages.one("*.deb"), tmp_path], check=True)  # noqa: S603, S607 - Debian's tool
    places = re.compile(rb"/(?:tmp|root|home|work|build)/[\w./-]*(?:site-packages|carbon-migrate)")
    naming = [path for path in sorted(tmp_path.rglob("*.pyc")) if places.search(path.read_bytes())]
    assert naming == []
    texts = [*tmp_path.rglob("RECORD"), *tmp_path.glob("opt/carbon-migrate/*.cfg"), *tmp_path.glob("opt/*/bin/*")]
    assert [path for path in texts if path.is_file() and places.search(path.read_bytes())] == []
    script = tmp_path / "opt" / "carbon-migrate" / "bin" / "carbon-migrate"
    assert script.read_text().startswith("#!/opt/carbon-migrate/bin/python3 -I\n")
