"""The machine of the measurements: its description, the speed of its disk, and the resources of a process."""

import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from benchmarks.figures import Spread

_STATUS: Final = Path("/proc/self/status")


def described() -> str:
    """A description in a sentence or two: cores, processor, memory, kernel, versions, time of a commit."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    parts = [f"aiohttp {version('aiohttp')}", f"uvloop {version('uvloop')}", *_tools()]
    return (
        f"{os.cpu_count()} cores of {_processor()}, {memory:.0f} GiB, Linux {platform.release().split('-')[0]}; "
        f"Python {platform.python_version()}, {', '.join(parts)}. "
        f"A synced write of 8 KiB takes the disk {commit_ms().shown('.1f')} ms."
    )


def commit_ms() -> Spread:
    """Milliseconds to make a write of two pages durable, measured a hundred times."""
    took = []
    with tempfile.TemporaryFile(dir=Path.cwd(), prefix=".bench-") as file:
        for _ in range(100):
            began = time.perf_counter()
            os.write(file.fileno(), bytes(8192))
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - began) * 1000)
    return Spread.of(took)


def peak_kib() -> int:
    """The peak memory of this process. getrusage's would include that of the parent process before the fork."""
    lines = _STATUS.read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))


def processor_of_family(process: int) -> float:
    """Processor seconds of a process and its children, those that have ended included."""
    found = [process]
    for task in Path(f"/proc/{process}/task").iterdir():
        found += map(int, (task / "children").read_text(encoding="ascii").split())
    return sum(map(_processor_of, found)) / os.sysconf("SC_CLK_TCK")


def _processor_of(process: int) -> int:
    """Ticks of a process and its children that have ended; 0 for one that has ended itself."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0
    # utime, stime, cutime, cstime (proc(5)); the third field is the first after the name.
    return sum(map(int, fields[11:15]))


@dataclass(frozen=True, slots=True)
class Took:
    """The resources of a process and its children: seconds, processor seconds, and its output."""

    seconds: float
    processor: float
    said: str


def timed(command: Sequence[str], *, cwd: Path | None = None, environment: Mapping[str, str] | None = None) -> Took:
    """Run a command to its end. Raises RuntimeError with its output when it fails."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        began = time.perf_counter()
        with subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process:
            said = process.stdout.read() if process.stdout is not None else ""
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - began
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            raise RuntimeError(f"{command[0]} failed ({process.returncode}): {errors.read()[-2000:] or said[-2000:]}")
    return Took(seconds, usage.ru_utime + usage.ru_stime, said)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _tools() -> list[str]:
    """The versions of the other tools, as they print them."""
    told = []
    for command in (["nginx", "-v"], ["curl", "--version"], ["parallel", "--version"]):
        said = subprocess.run(command, capture_output=True, text=True, check=False)
        words = (said.stdout or said.stderr).splitlines()[0].replace("nginx version: ", "").replace("/", " ").split()
        number = next(word for word in words if word[0].isdigit())
        told.append(f"{command[0]} {number}")
    return told
