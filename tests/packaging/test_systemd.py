"""The units for systemd: systemd takes them, they are closed, and each exit code is restarted or not as it has to."""

import re
import shutil
import subprocess
import tomllib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from cli.settings.places import OF_ROOT
from cli.terminal.exits import Exit
from lab.crash.loops import loops
from texts.said import PROGRAM, SETTINGS_FILE
from tools.house import ROOT

UNITS = ROOT / "packaging" / "systemd"
SERVICE = UNITS / f"{PROGRAM}@.service"
TIMER = UNITS / f"{PROGRAM}@.timer"
WORKER = UNITS / f"{PROGRAM}-worker.service"
SERVICES = (SERVICE, WORKER)
USERS = UNITS / f"{PROGRAM}.conf"
FOLDER = f"/etc/{PROGRAM}"
OF_SYSTEMD = Path("/usr/lib/systemd/system")
TARGETS = ("sysinit", "basic", "shutdown", "timers", "multi-user", "network-online", "time-sync")
EXPOSURE = 15
"""The most that `systemd-analyze security` may find, in tenths: of 100, a service without any protection has 96."""


def settings_of(unit: Path) -> Mapping[str, Sequence[str]]:
    """What a unit sets, by name."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in unit.read_text(encoding="utf-8").splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found[name].append(value)
    return found


def codes(name: str, unit: Path = SERVICE) -> set[int]:
    (value,) = settings_of(unit)[name]
    return {int(code) for code in value.split()}


def analyze(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # noqa: S603 - systemd's own tool
        ["/usr/bin/systemd-analyze", *map(str, words)], capture_output=True, text=True, check=False, timeout=loops(60)
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with the units, the targets of systemd that they name, and a program."""
    units = tmp_path / "usr" / "lib" / "systemd" / "system"
    program = tmp_path / "usr" / "bin" / PROGRAM
    for folder in (units, program.parent):
        folder.mkdir(parents=True)
    for unit in (*SERVICES, TIMER, *(OF_SYSTEMD / f"{name}.target" for name in TARGETS)):
        shutil.copy(unit, units)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return tmp_path


def test_systemd_takes_the_units(root: Path) -> None:
    names = [f"{PROGRAM}@night.service", f"{PROGRAM}@night.timer", WORKER.name]
    found = analyze("verify", "--man=no", f"--root={root}", *names)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_the_service_is_closed(unit: Path) -> None:
    found = analyze("security", "--offline=true", f"--threshold={EXPOSURE}", unit)
    assert found.returncode == 0, found.stdout


def test_the_worker_has_the_walls_of_a_load() -> None:
    def walls(unit: Path) -> str:
        return unit.read_text(encoding="utf-8").partition("\nStateDirectory=")[2].partition("\n[Install]")[0].strip()

    assert walls(WORKER) == walls(SERVICE) != ""
    # The lease of a billing in PostgreSQL reads /proc/sys, which ProcSubset=pid would hide.
    assert "\nProcSubset=" not in walls(SERVICE)


def test_every_exit_code_is_restarted_or_is_not() -> None:
    """Restart=on-abnormal takes up what was killed; an exit code is restarted where it is named, and no other is."""
    restarted, left = codes("RestartForceExitStatus"), codes("RestartPreventExitStatus")
    assert settings_of(SERVICE)["Restart"] == ["on-abnormal"]
    assert restarted == {Exit.STOPPED}
    assert {Exit.REFUSED, Exit.UNDECIDED, Exit.FAULT} <= left
    assert not restarted & left
    assert restarted | left | {Exit.DONE} == set(Exit), "a new exit code: is it restarted?"
    # A stop is no failure.
    assert codes("SuccessExitStatus") == {Exit.INTERRUPTED}


def test_a_worker_is_begun_again_but_for_a_stop_and_what_a_person_has_to_mend() -> None:
    """Restart=on-failure takes up what was killed, and every exit code that is neither a success nor excepted."""
    worker = settings_of(WORKER)
    assert (worker["Restart"], worker["StartLimitIntervalSec"]) == (["on-failure"], ["0"])
    left = codes("RestartPreventExitStatus", WORKER) | codes("SuccessExitStatus", WORKER) | {Exit.DONE}
    assert left == {Exit.DONE, Exit.REFUSED, Exit.INTERRUPTED}
    # A worker ends with none of the codes that a run ends with: those are of the processes of its runs.
    assert set(Exit) - left == {Exit.REJECTED, Exit.STOPPED, Exit.UNDECIDED, Exit.FAULT}


def secrets_in(unit: Path) -> list[str]:
    """What of a unit could hold a secret: a variable, a credential that it says itself, a word of a command."""
    found = []
    for name, values in settings_of(unit).items():
        plain = name in {"SetCredential", "LoadCredential", "EnvironmentFile"}
        variable = name == "Environment" and any(not value.startswith("XDG_STATE_HOME=") for value in values)
        word = name.startswith("Exec") and any(
            re.search(r"(?i)passw|psw|secret|token|key|//\S+@", one) for one in values
        )
        if plain or variable or word:
            found.append(name)
    return found


def test_no_secret_is_in_a_unit_or_in_the_settings_beside_it(tmp_path: Path) -> None:
    assert {unit.name: secrets_in(unit) for unit in UNITS.iterdir()} == {
        unit.name: [] for unit in (*SERVICES, TIMER, USERS)
    }
    assert settings_of(SERVICE)["LoadCredentialEncrypted"] == [f"db:{PROGRAM}.db"]
    of_worker = [f"vault-key:{PROGRAM}.vault-key", f"db:{PROGRAM}.db"]
    assert settings_of(WORKER)["LoadCredentialEncrypted"] == of_worker
    settings = tomllib.loads((UNITS.parent / SETTINGS_FILE).read_text(encoding="utf-8"))
    assert settings["database"]["password"] == "…"
    for line in ("Environment=CARBON_MIGRATE_DATABASE_PASSWORD=masterkey", "SetCredential=db:masterkey"):
        unit = tmp_path / SERVICE.name
        unit.write_text(f"{SERVICE.read_text()}{line}\n")
        assert secrets_in(unit) == [line.partition("=")[0]]


def test_what_the_units_name_is_where_the_package_has_it() -> None:
    service = settings_of(SERVICE)
    assert service["ExecStart"] == [f"/usr/bin/{PROGRAM} run {FOLDER}/%i.toml --yes --quiet"]
    assert service["AssertPathExists"] == [f"{FOLDER}/{SETTINGS_FILE}", f"{FOLDER}/%i.toml"]
    worker = settings_of(WORKER)
    assert worker["ExecStart"] == [f"/usr/bin/{PROGRAM} worker --billings 20"]
    assert worker["AssertPathExists"] == [f"{FOLDER}/{SETTINGS_FILE}"]
    for unit in (service, worker):
        assert unit["WorkingDirectory"] == [FOLDER]
        # The journals are where root finds them, too.
        assert unit["Environment"] == [f"XDG_STATE_HOME={OF_ROOT}"]
        assert unit["StateDirectory"] == [PROGRAM]
        assert re.findall(r"^u (\S+) ", USERS.read_text(), re.MULTILINE) == unit["User"] == unit["Group"]


@pytest.mark.parametrize(("unit", "number"), [(SERVICE, "SIGINT"), (WORKER, "SIGTERM")], ids=["run", "worker"])
def test_a_stop_asks_the_main_process_alone_and_waits(unit: Path, number: str) -> None:
    service = settings_of(unit)
    assert (service["KillSignal"], service["KillMode"]) == ([number], ["mixed"])
    assert (service["Type"], service["NotifyAccess"]) == (["notify"], ["main"])
