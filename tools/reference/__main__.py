"""`python -m tools.reference` names the files that are stale, `--write` writes them anew."""

import sys

from tools.house import ROOT
from tools.reference.pages import stale


def main() -> int:
    """Write what is stale, or end with 1 where something is and nothing may be written."""
    found = stale()
    for path, text in found.items():
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")
        if sys.argv[1:] == ["--write"]:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return int(bool(found) and sys.argv[1:] != ["--write"])


if __name__ == "__main__":
    sys.exit(main())
