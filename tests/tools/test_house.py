"""The house is read as it stands: imports of all sorts, rings, private names."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tools.house import House, Text, circles, folders, main_path, reachable


def house_of(folder: Path, files: Mapping[str, str]) -> House:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return House(folder)


def test_every_way_to_import_a_file_is_found(tmp_path: Path) -> None:
    house = house_of(
        tmp_path,
        {
            "engine/__init__.py": "",
            "engine/rows.py": "import os\n",
            "engine/job.py": "from engine import rows\nfrom engine.rows import Row\nimport engine.rows\n",
            "cli/main.py": "def run():\n    from engine.job import Job\n\nLAZY = {'rows': 'engine.rows'}\n",
        },
    )
    assert [(one.importer, one.imported, one.name) for one in house.imports] == [
        ("cli/main.py", "engine/job.py", "Job"),
        ("engine/job.py", "engine/rows.py", ""),
        ("engine/job.py", "engine/rows.py", "Row"),
        ("engine/job.py", "engine/rows.py", ""),
    ]
    assert house.graph()["cli/main.py"] == {"engine/job.py"}
    assert house.graph(deferred=False)["cli/main.py"] == set()
    assert house.named_in("cli/main.py") == {"engine/rows.py"}
    assert reachable(house.graph(), ["cli/main.py"]) == {"engine/job.py", "engine/rows.py"}


def test_strings_are_all_but_docstrings_and_tell_what_is_raised(tmp_path: Path) -> None:
    function = 'def f(name):\n    """A way."""\n    raise E(f"--{name} is " "no", g("flag"))\n'
    text = f'"""A door."""\nLIMIT = "limit"\n\n{function}'
    house = house_of(tmp_path, {"engine/job.py": text})
    assert list(house.strings("engine/job.py")) == [
        Text("limit", 2, raised=False),
        Text("--… is no", 6, raised=True),
        Text("flag", 6, raised=True),
    ]


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


def test_folders_that_import_each_other_in_a_ring_are_one_group(tmp_path: Path) -> None:
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
    assert circles(house.graph()) == []
    assert circles(folders(house.graph())) == [["jobs/access", "jobs/rows", "jobs/spec"]]


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


def test_the_main_path_is_what_is_listed_between_its_marks() -> None:
    page = "1. `a.py` – no\n<!-- main path -->\n1. `b.py` – first\n2. `c.py` – then\n<!-- /main path -->\n3. `d.py`\n"
    assert main_path(page) == ["b.py", "c.py"]
    assert main_path("no marks") == []
