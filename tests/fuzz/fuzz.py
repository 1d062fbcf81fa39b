"""Fuzz for so many minutes: `python -m tests.fuzz.fuzz MINUTES [TARGET …]`, which `make fuzz` does.

Atheris leads libFuzzer by the branches of our code that an input reaches. It begins with the inputs that are kept in
`corpus`, and with those that it has found before, in `.fuzz`. An input that raises is left there as `crash-…`.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
CORPUS: Final = HERE / "corpus"
FOUND: Final = ROOT / ".fuzz"
TARGETS: Final = sorted(folder.name for folder in CORPUS.iterdir())
LONGEST: Final = 8192
"""Bytes of an input."""


def fuzz(target: str, seconds: int, folder: Path) -> subprocess.CompletedProcess[str]:
    """Fuzz a target, in a process of its own; new inputs go into the folder, with `crash-…` for one that raises."""
    found = folder / target
    found.mkdir(parents=True, exist_ok=True)
    limits = (f"-max_total_time={seconds}", f"-max_len={LONGEST}", "-timeout=20", "-rss_limit_mb=1024")
    command = (sys.executable, "-m", __spec__.name, "--inside", target, *limits, str(found), str(CORPUS / target))
    return subprocess.run(  # noqa: S603 - this very module
        command,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def _inside(target: str, options: list[str]) -> None:
    import atheris  # noqa: PLC0415 - not on every machine

    with atheris.instrument_imports(include=["billing", "cli", "engine", "jobs", "texts"]):
        from tests.fuzz import targets  # noqa: PLC0415 - so that its imports are seen by the fuzzer

    function, folder = targets.TARGETS[target], Path.cwd() / f"{target}.files"
    folder.mkdir(exist_ok=True)
    atheris.Setup(["fuzz", *options], lambda data: function(data, folder))
    atheris.Fuzz()


def main(minutes: float, targets: list[str]) -> int:
    """Fuzz each target for its share of the time; 1 where an input raises."""
    faults = 0
    for target in targets:
        done = fuzz(target, round(60 * minutes / len(targets)), FOUND)
        faults += done.returncode != 0
        sys.stdout.write("\n".join([target, *done.stdout.splitlines()[-30 if done.returncode else -1 :], ""]))
        sys.stdout.flush()
    return int(faults > 0)


if __name__ == "__main__":
    if sys.argv[1] == "--inside":
        _inside(sys.argv[2], sys.argv[3:])
    sys.exit(main(float(sys.argv[1]), sys.argv[2:] or TARGETS))
