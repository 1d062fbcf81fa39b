"""The interpreter environment of the .deb: Debian's Python, the pinned packages and the program, in one folder.

It is laid out in one place and runs in another, so nothing in it may say where it was built, nor when: no scripts
but our own, no record of the wheel's path, bytecode that names the installed files and is never compared with their
times.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from texts.remedies import PROGRAM

HOME: Final = Path("/opt") / PROGRAM
DEBIANS: Final = "/usr/bin/python3"
"""The interpreter that the packages are made for, and run by."""

_SCRIPT: Final = f"""#!{HOME}/bin/python3 -I
import sys

from cli.main import main

sys.exit(main())
"""
_ELSEWHERE: Final = ("direct_url.json", "uv_cache.json", "REQUESTED")
"""What uv notes beside a package, of this machine alone."""
_LOCK: Final = ".lock"
_SCRIPTS: Final = "../../../bin/"


@dataclass(frozen=True, slots=True)
class Environment:
    """The environment below a folder that stands for `/`; `python` is "3.13"."""

    root: Path
    python: str

    @property
    def home(self) -> Path:
        """Where it is while it is built."""
        return self.root / HOME.relative_to("/")

    @property
    def packages(self) -> Path:
        """The folder of its packages."""
        return self.home / "lib" / f"python{self.python}" / "site-packages"

    @property
    def interpreter(self) -> Path:
        """Its Python."""
        return self.home / "bin" / "python3"


def build_environment(root: Path, requirements: Path, wheel: Path) -> Environment:
    """Build the environment below `root`: the packages of `requirements`, whose hashes are checked, and the wheel."""
    built = Environment(root, debians_python())
    built.packages.mkdir(parents=True)
    built.interpreter.parent.mkdir()
    built.interpreter.symlink_to(f"/usr/bin/python{built.python}")
    (built.home / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {built.python}\n", encoding="utf-8"
    )
    _install(built, "--require-hashes", "--requirement", str(requirements))
    _install(built, "--no-index", "--no-deps", str(wheel))
    _remove_traces(built)
    script = built.home / "bin" / PROGRAM
    script.write_text(_SCRIPT, encoding="utf-8")
    script.chmod(0o755)
    _compile(built)
    return built


def debians_python() -> str:
    """The minor version of Debian's Python, as "3.13"."""
    shown = subprocess.run([DEBIANS, "--version"], check=True, capture_output=True, text=True).stdout  # noqa: S603 - Debian's Python
    return ".".join(shown.split()[1].split(".")[:2])


def _install(environment: Environment, *arguments: str) -> None:
    uv = str(Path(sys.executable).with_name("uv"))
    into = ("--python", str(environment.interpreter), "--link-mode", "copy")
    _run((uv, "pip", "install", "--quiet", *into, "--no-build", *arguments))


def _remove_traces(environment: Environment) -> None:
    """Leave out what uv has written of this machine, and the scripts of the packages."""
    for path in environment.interpreter.parent.iterdir():
        if path != environment.interpreter:
            path.unlink()
    (environment.home / _LOCK).unlink(missing_ok=True)
    for record in environment.packages.glob("*.dist-info/RECORD"):
        for name in _ELSEWHERE:
            (record.parent / name).unlink(missing_ok=True)
        elsewhere = tuple(f"{record.parent.name}/{name}," for name in _ELSEWHERE)
        lines = record.read_text(encoding="utf-8").splitlines()
        kept = sorted(line for line in lines if not line.startswith((_SCRIPTS, *elsewhere)))
        record.write_text("\n".join(kept) + "\n", encoding="utf-8")


def _compile(environment: Environment) -> None:
    """Write the bytecode: the same each time, and naming the files as they are installed."""
    for cache in environment.packages.rglob("__pycache__"):
        shutil.rmtree(cache)
    compiler = (DEBIANS, "-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash")
    _run((*compiler, "-s", str(environment.root), "-p", "/", str(environment.packages)))


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, env=os.environ | {"PYTHONHASHSEED": "0"})  # noqa: S603 - commands of this file
