"""The house stands as docs/architecture.md says: which room imports which, and no circle of folders."""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from tools.house import ROOT, House, Text, folder_of, folders, main_path, ring, room_of

# A room: what it may import of other rooms. A room allows all of its folders, a path ending in .py that file alone.
ROOMS_MAY_IMPORT = {
    "texts": set(),
    "checkpoints": {"texts"},
    "engine": {"checkpoints", "texts"},
    "billing": {"engine/evidence.py", "texts"},
    "jobs": {"engine", "billing", "checkpoints", "texts"},
    "lab": {"jobs", "billing", "checkpoints", "engine/evidence.py", "texts"},
    "cli": {"jobs", "billing", "checkpoints", "engine", "lab", "texts"},
}

# The simulation runs the engine in its own process; all else of the lab starts the program and looks from outside.
MORE_FOR = {"lab/simulation": {"engine"}}

# The commands that start the lab, when they are called.
STARTS_THE_LAB = {f"cli/commands/{name}.py" for name in ("mock", "selftest")}

PATH_LENGTH = 25

# How a person types it only the command line knows: the other rooms have it made by `texts/said.py`.
SPELLED = re.compile(r"(?<![\w-])--[a-z…]|\bcarbon-migrate(\.toml| [a-z…])|\bCARBON_MIGRATE")
SPELLERS = {"cli", "lab", "texts"}

# A file, or a folder with a slash at its end, that names a flag all the same, and why.
SPELLS_FOR_A_REASON = {
    "engine/pacing/policy.py": "the help of the flags of the pacing",
    "engine/pipeline/intake.py": "the key by which journals and --json count the rows that a limit leaves out",
    "jobs/rows/input.py": "the keys by which journals and --json count the rows that are not chosen",
    "jobs/import_job.py": "the key by which journals and --json count the rows that are not in a sample",
    "jobs/spec/entries.py": "the help of a parameter",
    "jobs/catalogue/": "examples of the jobs and the help of their parameters, but nothing that is raised",
}

# A library, or the parts of one that its documentation does not describe, and where alone it is imported.
LIVES_IN = {
    "fdb": "billing/database/",
    "aiohttp.client_proto": "billing/api/aiohttp_parts.py",
    "aiohttp.client_reqrep": "billing/api/aiohttp_parts.py",
    "aiohttp.connector": "billing/api/aiohttp_parts.py",
    "aiohttp.http": "billing/api/aiohttp_parts.py",
    "aiohttp.http_exceptions": "billing/api/aiohttp_parts.py",
    "yarl._quoters": "billing/api/aiohttp_parts.py",
}


# What the lab takes of billing/ and jobs/: its folder, their file, and the names. The lab tests the product against
# facts of its own (lab/mock/facts.toml). A constant, a model, a column or a rule that it took from here would be as
# wrong in the billing that judges as in the program that is judged, and nobody would see it.
THE_LAB_TAKES = {
    # The way to the database.
    ("lab/", "billing/database/database.py"): "Database attach create write_unforced",
    ("lab/", "billing/database/dsn.py"): "Dsn",
    ("lab/", "billing/database/reader.py"): "Connection DatabaseRow FirebirdError FirebirdRefusal Prepared",
    ("lab/", "billing/database/schema.py"): "Schema fitted",
    ("lab/", "billing/database/sql_blocks.py"): "SqlStatement Value sql_block",
    ("lab/", "billing/errors.py"): "BillingAway BillingError ColumnsMissing SettingsError",
    # The jobs under test: what each of them sends, which the mock judges, and how the journal names rows and steps.
    ("lab/crash/", "jobs/catalogue/catalogue.py"): "JOBS",
    ("lab/crash/", "jobs/catalogue/typed_call.py"): "call_kind",
    ("lab/crash/", "jobs/spec/spec.py"): "ChainKind JobSpec kind_of",
    ("lab/crash/", "jobs/spec/chain.py"): "Template chain_text",
    ("lab/crash/", "jobs/spec/parameters.py"): "a_date a_moment row_key",
    ("lab/crash/", "jobs/imports/subscriber.py"): "Step",
    ("lab/crash/", "jobs/access/payload.py"): "payload_of",
    # The simulation runs the program itself: its client, its jobs, its undo.
    ("lab/simulation/", "billing/api/client.py"): "BillingClient ClientSettings",
    ("lab/simulation/", "billing/api/wire.py"): "FenceClosed Flight Limits Unasked Wire",
    ("lab/simulation/", "billing/errors.py"): "BillingError",
    ("lab/simulation/", "billing/profile.py"): "UNKNOWN Fact StornoEffect TypeEight",
    ("lab/simulation/", "jobs/access/gateway.py"): "Gateway",
    ("lab/simulation/", "jobs/access/payload.py"): "emptied",
    ("lab/simulation/", "jobs/catalogue/catalogue.py"): "JOBS Catalogue",
    ("lab/simulation/", "jobs/job.py"): "build",
    ("lab/simulation/", "jobs/rows/input.py"): "Input REPEAT how_often since_of",
    ("lab/simulation/", "jobs/runs.py"): (
        "RunRefused half_done_undos in_doubt refuse_half_undone refuse_overtaken require_complete require_undoable "
        "unfinished"
    ),
    ("lab/simulation/", "jobs/spec/spec.py"): "parameters_of",
    ("lab/simulation/", "jobs/spec/words.py"): "RUN SINCE UNDO",
    ("lab/simulation/", "jobs/undo.py"): "build_undo",
    # Recordings are made in the product's client, and hide what the product hides.
    ("lab/mock/", "jobs/spec/toml_places.py"): "KeyRefused Toml check_known",
    ("lab/record/", "billing/api/answers.py"): "charset_of",
    ("lab/record/", "billing/api/calls.py"): "Call ChainStep SECRET_ARGUMENTS secrets_of",
    ("lab/record/", "billing/api/client.py"): "BillingClient ClientSettings",
    ("lab/record/", "billing/api/secrets.py"): "SecretRemover json_text nested_json",
    ("lab/record/", "billing/api/wire.py"): "CallRecord ConnectionEnd Reply",
    ("lab/record/", "billing/secret.py"): "PLACEHOLDER",
    ("lab/record/", "jobs/spec/columns.py"): "KNOWN normalise_header titles_of",
    ("lab/record/", "jobs/spec/spec.py"): "JobSpec",
}


@pytest.fixture(scope="module")
def house() -> House:
    return House()


def test_the_house_keeps_its_rules(house: House) -> None:
    assert sorted({offence for rule in (imports, libraries) for offence in rule(house)}) == []
    assert ring(folders(house.graph())) == [], "folders import each other"
    assert [f"{user} uses {name} of {owner}" for user, owner, name in house.private_uses()] == []


def imports(house: House) -> Iterator[str]:
    """Imports against the table of rooms, and of the lab by a command that does not start it."""
    for found in house.imports:
        importer, imported = room_of(found.importer), room_of(found.imported)
        if importer == imported:
            continue
        allowed = ROOMS_MAY_IMPORT[importer] | MORE_FOR.get(folder_of(found.importer), set())
        if not {imported, found.imported} & allowed:
            yield f"{found.importer} imports {found.imported}"
        elif imported == "lab":
            if found.importer not in STARTS_THE_LAB:
                yield f"{found.importer} imports the lab"
            elif not found.deferred:
                yield f"{found.importer} imports the lab before it is called"


def libraries(house: House) -> Iterator[str]:
    """What is imported of a library outside its place, and what of aiohttp would make a request of its own."""
    for file in house.files:
        for module in house.modules_imported(file):
            place = next((place for name, place in LIVES_IN.items() if f"{module}.".startswith(f"{name}.")), "")
            if not file.startswith(place):
                yield f"{file} imports {module}"
        if "aiohttp.ClientRequest" in house.texts[file]:
            yield f"{file} makes a request of aiohttp's"


def reason_for(file: str, found: Text) -> str | None:
    """What in the table allows it: the file, or for what is not raised its folder."""
    folder = f"{folder_of(file)}/"
    return next((name for name in (file, *(() if found.raised else (folder,))) if name in SPELLS_FOR_A_REASON), None)


def test_the_lab_takes_no_fact_of_the_billing_from_the_product(house: House) -> None:
    of_product = {
        (found.importer, found.imported, found.name)
        for found in house.imports
        if room_of(found.importer) == "lab" and room_of(found.imported) in {"billing", "jobs"}
        if PurePosixPath(found.imported).name != "__init__.py"
    }
    needed = {(folder, file, name) for (folder, file), names in THE_LAB_TAKES.items() for name in names.split()}
    ways = {
        taken: {one for one in needed if taken[0].startswith(one[0]) and taken[1:] == one[1:]} for taken in of_product
    }
    assert sorted(taken for taken, allowed in ways.items() if not allowed) == []
    assert set().union(*ways.values()) == needed, "what the lab needs no more"


def test_the_simulated_billing_knows_nothing_of_the_program(house: House) -> None:
    assert [found.imported for found in house.imports if found.importer == "lab/simulation/billing.py"] == []


def test_remedies_alone_spell_what_is_typed(house: House) -> None:
    """The strings that name a flag, the program or a setting's place, in rooms that do not know how it is typed."""
    found = [
        (file, one)
        for file in house.files
        if room_of(file) not in SPELLERS
        for one in house.strings(file)
        if SPELLED.search(one.text)
    ]
    assert [f"{file}:{one.line}: {one.text}" for file, one in found if reason_for(file, one) is None] == []
    assert {reason_for(file, one) for file, one in found} == set(SPELLS_FOR_A_REASON), "a reason is needed no more"


def test_a_house_that_breaks_the_rules_is_seen_as_it_stands(tmp_path: Path) -> None:
    files = {
        "cli/main.py": "class C:\n    import jobs.rows.b\n    async def f(self):\n        import jobs.job\n",
        "jobs/spec/a.py": "import jobs.rows.b\n",
        "jobs/rows/b.py": "try:\n    import jobs.access.c\nexcept ImportError:\n    pass\n",
        "jobs/access/c.py": "if TYPE_CHECKING:\n    import jobs.spec.d\n",
        "jobs/spec/d.py": "class Row: ...\nclass _Own: ...\n_limit = 1\n",
        "jobs/job.py": "from jobs.spec import d\nfrom jobs.spec.d import _limit\nclass Row: ...\nprint(d._Own)\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    house = House(tmp_path)
    deferred = {(one.importer, one.imported) for one in house.imports if one.deferred}
    assert deferred == {("cli/main.py", "jobs/job.py"), ("jobs/access/c.py", "jobs/spec/d.py")}
    assert ring(house.graph()) == []
    first, *others, again = ring(folders(house.graph()))
    assert {first, *others} == {"jobs/access", "jobs/rows", "jobs/spec"}
    assert again == first
    private = [("jobs/job.py", "jobs/spec/d.py", name) for name in ("_limit", "_Own")]
    assert list(house.private_uses()) == private


def test_a_package_says_what_it_holds_and_holds_no_code(house: House) -> None:
    doorplates = {file: tree for file, tree in house.trees.items() if PurePosixPath(file).name == "__init__.py"}
    assert [file for file, tree in doorplates.items() if len(tree.body) != 1] == []


def test_the_main_path_can_be_walked_along_the_imports(house: House) -> None:
    path = main_path((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"))
    graph = house.graph()
    assert 1 < len(path) <= PATH_LENGTH
    walked = set(path[:1])
    for file in path[1:]:
        assert any(file in graph[earlier] | house.named_in(earlier) for earlier in walked), f"no way to {file}"
        walked.add(file)


def test_a_time_limit_is_in_loops() -> None:
    limit = re.compile(
        r"(fail_after|asyncio\.timeout|mark\.timeout|move_on_after)\((\d{2}|[5-9])|PATIENCE\S* = \d{2}"
    )
    found = [
        f"{file.relative_to(ROOT)}: {line.strip()}"
        for room in ("lab", "tests")
        for file in (ROOT / room).rglob("*.py")
        for line in file.read_text(encoding="utf-8").splitlines()
        if limit.search(line)
    ]
    assert found == []
