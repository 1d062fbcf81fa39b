"""The house is read as it stands: imports of all sorts, rings, private names."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tools.house import House, folders, ring


def house_of(folder: Path, files: Mapping[str, str]) -> House:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return House(folder)


@pytest.mark.parametrize(
    ("deferring", "deferred"),
    [
        ("def f():\n    import engine.rows\n", True),
        ("class C:\n    async def f(self):\n        import engine.rows\n", True),
        ("if TYPE_CHECKING:\n    import engine.rows\n", True),
        ("class C:\n    import engine.rows\n", False),
        ("try:\n    import engine.rows\nexcept ImportError:\n    pass\n", False),
    ],
)
def test_an_import_waits_below_a_function_and_for_type_checkers_alone(
    tmp_path: Path, deferring: str, deferred: bool
) -> None:
    house = house_of(tmp_path, {"engine/rows.py": "", "cli/main.py": deferring})
    assert [one.deferred for one in house.imports] == [deferred]


def test_folders_that_import_each_other_in_a_ring_are_found(tmp_path: Path) -> None:
    house = house_of(
        tmp_path,
        {
            "jobs/spec/a.py": "import jobs.rows.b\n",
            "jobs/rows/b.py": "import jobs.access.c\n",
            "jobs/access/c.py": "import jobs.spec.d\n",
            "jobs/spec/d.py": "",
            "jobs/job.py": "import jobs.spec.a\n",
        },
    )
    assert ring(house.graph()) == []
    first, *others, again = ring(folders(house.graph()))
    assert {first, *others} == {"jobs/access", "jobs/rows", "jobs/spec"}
    assert again == first


def test_private_names_used_from_outside_are_found(tmp_path: Path) -> None:
    house = house_of(
        tmp_path,
        {
            "billing/a.py": "class Row: ...\nclass _Own: ...\n_limit = 1\n",
            "billing/b.py": "from billing import a\nfrom billing.a import _limit\nclass Row: ...\nprint(a._Own)\n",
        },
    )
    assert list(house.private_uses()) == [
        ("billing/b.py", "billing/a.py", "_limit"),
        ("billing/b.py", "billing/a.py", "_Own"),
    ]
