"""Figures of the house for docs/architecture.md; `python -m tools.figures --write` updates the table."""

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterable

from tools.house import ROOMS, House, folders, layers, main_path, of_room, reachable, room_of

PAGE = "docs/architecture.md"
CATALOGUE = "jobs/catalogue/catalogue.py"
_FIGURES = re.compile(r"<!-- figures -->.*?<!-- /figures -->", re.DOTALL)

# The plan's count, the count when the rebuild began, and the plan's target.
_PLANNED = {
    "Python files, without `__init__.py`, and their lines": ("271, 40,505", "308, 48,450", "232, ≈ 39,000"),
    "of them `cli`": ("80, 13,485", "89, 15,630", "59, ≈ 10,300"),
    "of them `lab`": ("in the others", "in the others", "42, ≈ 7,300"),
    "of them `jobs`": ("56, 7,476", "70, 10,381", "45, ≈ 7,400"),
    "of them `billing`": ("61, 9,933", "65, 10,995", "24, ≈ 4,650"),
    "of them `engine`": ("64, 8,211", "69, 9,258", "51, ≈ 8,300"),
    "of them `checkpoints`": ("10, 1,400", "15, 2,186", "10, ≈ 1,500"),
    "of them `texts`": ("–", "–", "–"),
    "SQL files": ("73", "95", "20"),
    "layers of `cli`, folders as one / file by file": ("17 / 19", "12 / 20", "8 / 13"),
    "layers of `lab`": ("–", "–", "–"),
    "layers of `jobs`": ("12 / 15", "15 / 16", "6 / 11"),
    "layers of `billing`": ("7 / 15", "8 / 16", "4 / 6"),
    "layers of `engine`": ("8 / 8", "9 / 9", "4 / 7"),
    "layers of `checkpoints`": ("4 / 4", "5 / 5", "–"),
    "layers of `texts`": ("–", "–", "–"),
    "layers of the whole, file by file": ("34", "36", "24"),
    "pairs of folders that import each other": ("7", "7", "0"),
    "what a look at the catalogue drags in: files, lines": ("105, 14,826", "112, 17,347", "44, 7,600"),
    "files to open for the main path": ("53", "–", "25"),
    "classes": ("504", "588", "≈ 475"),
    "protocols": ("29", "37", "≈ 14"),
    "public class names that stand twice, in a room / in the whole": ("20 / 48", "22 / 61", "0 / 0"),
}


def figures(house: House) -> list[str]:
    """The current figures, in the order of `_PLANNED`."""
    graph = house.graph()
    folder_graph = folders(graph)
    pairs = {
        frozenset((one, other)) for one in folder_graph for other in folder_graph[one] if one in folder_graph[other]
    }
    drawn = reachable(house.graph(deferred=False), [CATALOGUE]) | {CATALOGUE}
    page = (house.root / PAGE).read_text(encoding="utf-8")
    classes = list(house.class_definitions())
    rooms = [house.public_classes(room) for room in ROOMS]
    everywhere = Counter(name for room in rooms for name, files in room.items() for _ in files)

    def weight(files: Iterable[str]) -> str:
        names = [file for file in files if file in house.files]
        return f"{len(names)}, {sum(len(house.texts[name].splitlines()) for name in names):,}"

    def floors(room: str) -> str:
        return " / ".join(str(layers(of_room(graph, room, folders_as_one=as_one))) for as_one in (True, False))

    return [
        weight(house.files),
        *(weight(file for file in house.files if room_of(file) == room) for room in reversed(ROOMS)),
        str(sum(1 for room in ROOMS for _ in (house.root / room).rglob("*.sql"))),
        *(floors(room) for room in reversed(ROOMS)),
        str(layers({file: graph[file] for file in house.files})),
        str(len(pairs)),
        weight(drawn),
        str(len(main_path(page))),
        str(len(classes)),
        str(sum(1 for found in classes for base in found.bases if "Protocol" in ast.unparse(base))),
        " / ".join(
            str(sum(1 for times in counted if times > 1))
            for counted in ((len(files) for room in rooms for files in room.values()), everywhere.values())
        ),
    ]


def table(house: House) -> str:
    """The table of docs/architecture.md."""
    rows = ["| | at the plan | before | aim | built |", "|---|---|---|---|---|"]
    built = zip(_PLANNED.items(), figures(house), strict=True)
    return "\n".join([*rows, *(f"| {name} | {' | '.join(before)} | **{now}** |" for (name, before), now in built)])


def main() -> None:
    """Print the table, or with `--write` put it into docs/architecture.md."""
    house = House()
    if sys.argv[1:] == ["--write"]:
        page = house.root / PAGE
        text = page.read_text(encoding="utf-8")
        page.write_text(_FIGURES.sub(lambda _: f"<!-- figures -->\n{table(house)}\n<!-- /figures -->", text), "utf-8")
    else:
        sys.stdout.write(f"{table(house)}\n")


if __name__ == "__main__":
    main()
