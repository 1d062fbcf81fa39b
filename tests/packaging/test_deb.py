"""The .deb in a clean Debian: installed, used, upgraded, removed, installed again, purged."""

import shutil
from importlib.metadata import version

import pytest

from tests.packaging.conftest import CleanRoot, Packages, load_first

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


def test_the_deb_from_its_installation_to_its_purge(packages: Packages, clean_root: CleanRoot) -> None:
    root = clean_root()
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
