"""The .deb in a clean Debian: installed, used, upgraded, removed, installed again, purged."""

import re
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.packaging.clean_root import ROOT, DebianRoot
from tests.packaging.conftest import Packages, load_first

pytestmark = [pytest.mark.loops(900), pytest.mark.prove]
INSTALL = "DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends /deb/{}"
FILES = (
    "/usr/bin/carbon-migrate",
    "/usr/share/man/man1/carbon-migrate-run.1.gz",
    "/usr/share/man/ru/man1/carbon-migrate-run.1.gz",
    "/usr/share/bash-completion/completions/carbon-migrate",
    "/usr/share/zsh/vendor-completions/_carbon-migrate",
    "/usr/share/fish/vendor_completions.d/carbon-migrate.fish",
    "/usr/lib/systemd/system/carbon-migrate-worker.service",
    "/usr/lib/systemd/system/carbon-migrate@.service",
    "/usr/lib/systemd/system/carbon-migrate@.timer",
    "/usr/share/doc/carbon-migrate/copyright",
    "/usr/share/doc/carbon-migrate/examples/carbon-migrate.toml",
    "/usr/share/doc/carbon-migrate/examples/README.md",
    "/usr/share/doc/carbon-migrate/docs/how-to/trouble.md",
)


def test_the_deb_from_its_installation_to_its_purge(packages: Packages, root: DebianRoot) -> None:
    deb = packages.one("*.deb")
    root.path("/deb").mkdir()
    shutil.copy(deb, root.path("/deb"))
    root.run(INSTALL.format(deb.name))
    assert [path for path in FILES if not root.path(path).exists() and not root.path(path).is_symlink()] == []
    # A package of the same name elsewhere means nothing to the program.
    shown = root.run("mkdir -p other/cli other/billing; PYTHONPATH=/root/other carbon-migrate --version").stdout
    assert shown == f"carbon-migrate {version('carbon-migrate')}\n"
    load_first(root)
    journals = sorted(root.path("/var/lib/carbon-migrate").iterdir())
    assert any(path.name.endswith(".journal") for path in journals)

    # An upgrade is what apt does with another version: here the same one, again.
    root.run(f"dpkg --install /deb/{deb.name}")
    # Nothing was written into the program's folder, so nothing is left there.
    root.run("dpkg --remove carbon-migrate; test ! -e /opt/carbon-migrate; test ! -e /usr/bin/carbon-migrate")
    assert sorted(root.path("/var/lib/carbon-migrate").iterdir()) == journals
    root.run(f"dpkg --install /deb/{deb.name}; carbon-migrate --version")
    purged = root.run("dpkg --purge carbon-migrate")
    assert "the journals are left in /var/lib/carbon-migrate" in purged.stderr
    assert sorted(root.path("/var/lib/carbon-migrate").iterdir()) == journals


# ---- The image's steps, and the wheel of an ordinary user, in a clean Debian that has nothing but Python


DOCKERFILE = ROOT / "packaging" / "Dockerfile"
UV = {"UV_OFFLINE": "1", "UV_NO_INDEX": "1", "UV_FIND_LINKS": "/wheelhouse", "UV_PYTHON_DOWNLOADS": "never"}
OFFLINE = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheelhouse", "DEBIAN_FRONTEND": "noninteractive"}
# Bytecode of all packages takes a while, and one short command is run.
OFFLINE |= {"PIP_NO_COMPILE": "1"}
Instruction = tuple[str, str]


def instructions() -> Iterator[Instruction]:
    """The instructions of the Dockerfile: a word in capitals, and what stands behind it."""
    lines = [line for line in DOCKERFILE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        word, _, rest = line.partition(" ")
        if word:
            yield word, rest


def built_like_the_image(root: DebianRoot, packages: Packages) -> None:
    """Do in a root what Docker would do: copy and run. No engine is needed for that."""
    for word, rest in instructions():
        if word == "RUN":
            root.run(rest, environment=OFFLINE)
        elif word == "COPY":
            *sources, target = rest.split()
            root.path(target).mkdir(parents=True)
            for source in sources:
                found = packages.folder.glob(Path(source).name) if source.startswith("dist/") else ROOT.glob(source)
                for file in found:
                    shutil.copy(file, root.path(target))


@pytest.mark.loops(900)
@pytest.mark.prove
def test_image_and_wheel_where_only_python_is(packages: Packages, root: DebianRoot, wheelhouse: Path) -> None:
    shutil.copytree(wheelhouse, root.path("/wheelhouse"))
    built_like_the_image(root, packages)
    shown = root.run("carbon-migrate --version; touch here", "carbon-migrate")
    assert shown.stdout == f"carbon-migrate {version('carbon-migrate')}\n"

    # An ordinary user of a machine that has uv: the program lands in an environment of its own.
    root.path("/usr/local/bin/carbon-migrate").unlink()
    shutil.copy(Path(sys.executable).with_name("uv"), root.path("/usr/local/bin/uv"))
    wheel = shutil.copy(packages.one("*.whl"), root.path("/wheelhouse"))
    shutil.copy(packages.one("constraints.txt"), root.path("/wheelhouse"))
    root.run("useradd --create-home anna")
    install = f"uv tool install --constraints /wheelhouse/constraints.txt '/wheelhouse/{Path(wheel).name}[pdf]'"
    root.run(install, "anna", UV)
    load_first(root, "anna", {"PATH": "/home/anna/.local/bin:/usr/bin:/bin"})
    assert list(root.path("/home/anna/.local/state/carbon-migrate").glob("*.journal"))


def test_the_image_is_run_by_an_ordinary_user_and_stopped_as_by_ctrl_c() -> None:
    found = dict(instructions())
    assert (found["USER"], found["STOPSIGNAL"]) == ("carbon-migrate", "SIGINT")
    assert found["VOLUME"] == "/var/lib/carbon-migrate"
    assert found["ENTRYPOINT"] == '["carbon-migrate"]'


def test_all_that_the_image_copies_is_let_through() -> None:
    allowed = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().splitlines()
    copied = [source for word, rest in instructions() if word == "COPY" for source in rest.split()[:-1]]
    assert allowed == ["*", *(f"!{source}" for source in copied)]
