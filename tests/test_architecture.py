"""The house stands as docs/architecture.md says: who imports whom, no circle, no name twice, files of one thought."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

import pytest

from tools.house import (
    ROOMS,
    ROOT,
    House,
    Text,
    circles,
    folder_of,
    folders,
    layers,
    main_path,
    of_room,
    room_of,
)

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

# A folder: what it may import of its own room, besides itself. A folder does not allow those below it.
FOLDERS_MAY_IMPORT = {
    "texts": set(),
    "checkpoints": set(),
    "engine": set(),
    "engine/pacing": {"engine"},
    "engine/control": {"engine", "engine/pacing"},
    "engine/pipeline": {"engine", "engine/pacing"},
    "engine/sources/raw": {"engine"},
    "engine/sources/text": {"engine", "engine/sources/raw"},
    "engine/sources/workbook": {"engine", "engine/sources/raw"},
    "engine/sources": {"engine", "engine/sources/raw", "engine/sources/text", "engine/sources/workbook"},
    "billing": set(),
    "billing/api": {"billing"},
    "billing/database": {"billing"},
    "billing/selects": {"billing", "billing/database"},
    "billing/directory": {"billing", "billing/api", "billing/database"},
    "jobs/spec": set(),
    "jobs/access": {"jobs/spec"},
    "jobs/rows": {"jobs/spec", "jobs/access"},
    "jobs/catalogue": {"jobs/spec"},
    "jobs/imports": {"jobs/spec", "jobs/access", "jobs/rows"},
    "jobs/effects": {"jobs/spec", "jobs/access", "jobs/rows", "jobs/imports"},
    "jobs/probe": {"jobs/access", "jobs/imports"},
    "jobs": {"jobs/spec", "jobs/access", "jobs/rows", "jobs/catalogue", "jobs/effects", "jobs/imports"},
    "lab/mock": set(),
    "lab/record": {"lab/mock"},
    "lab/crash": {"lab/mock"},
    "lab/fleet": {"lab/mock", "lab/crash"},
    "lab": {"lab/mock", "lab/crash"},
    "cli/terminal": set(),
    "cli/settings": {"cli/terminal"},
    "cli/show": {"cli/terminal"},
    "cli/completion": {"cli/terminal", "cli/settings"},
    "cli/translate": {"cli/terminal"},
    "cli/output": {"cli/terminal"},
    "cli/report": {"cli/terminal", "cli/settings", "cli/output", "cli/session"},
    "cli/session": {"cli/terminal", "cli/settings", "cli/show", "cli/output"},
    "cli/page": {"cli/terminal", "cli/settings", "cli/show", "cli/report", "cli/session", "cli/fleet"},
    "cli/hooks": {"cli/terminal", "cli/settings", "cli/show", "cli/session"},
    "cli/fleet": {"cli/terminal", "cli/settings", "cli/show", "cli/session"},
    "cli/metrics": {"cli/terminal", "cli/settings", "cli/session"},
    "cli/service": {"cli/terminal", "cli/show", "cli/session"},
    "cli/jobfile": {"cli/terminal", "cli/settings", "cli/show", "cli/session"},
    "cli/commands": {
        "cli/terminal",
        "cli/settings",
        "cli/show",
        "cli/translate",
        "cli/completion",
        "cli/output",
        "cli/report",
        "cli/page",
        "cli/hooks",
        "cli/fleet",
        "cli/metrics",
        "cli/service",
        "cli/session",
        "cli/jobfile",
    },
    "cli": {"cli/terminal", "cli/commands"},
}

# The commands that start the lab, when they are called.
STARTS_THE_LAB = {
    f"cli/commands/{name}.py" for name in ("mock", "replay", "selftest", "selftest_fleet", "job_check", "demo", "run")
}

# The longest way down through a room, its folders as one.
FLOORS = {"texts": 3, "checkpoints": 8, "engine": 4, "billing": 4, "jobs": 8, "lab": 3, "cli": 8}

SHORTEST, LONGEST = 80, 450
PATH_LENGTH = 25

# Files of one thought that is smaller than a file should be, and why they stand alone all the same.
SHORT_FOR_A_REASON = {
    "engine/pacing/open_files.py": "one thought, which the start of a run and its live control share",
    "jobs/catalogue/imports.py": "the one job whose rows make several calls",
    "cli/show/lab_rounds.py": "what two commands show of the rounds of their labs",
    "cli/show/checklist.py": "what is shown and kept of each check",
    "cli/page/server.py": "the one door of the page",
    "cli/hooks/apprise_message.py": "a program, which is started by its path and imports nothing of ours",
    "cli/settings/tables.py": "what the settings file may hold, which its reader and the documentation share",
    "cli/commands/readers.py": "the one list of who reads a run, which five commands share",
    "cli/service/notify_socket.py": "a protocol of a datagram",
    "cli/service/reader.py": "what of a run is shown in one line",
    "cli/fleet/billings.py": "which billings a worker has settings of",
    "cli/child.py": "a program, which binds itself to the worker that has started it",
    "cli/metrics/endpoint.py": "the one address of the metrics",
    "cli/metrics/text_file.py": "how one file is replaced whole",
    "cli/settings/metrics.py": "the one table [metrics]",
    "cli/settings/declarations.py": "who may have written code, asked before it is run",
    "cli/session/machine_lock.py": "the one lock that no journal has",
    "cli/session/stages.py": "the one question where a run stands",
    "cli/__main__.py": "what `python -m cli` needs, and no more",
    "lab/record/made_up_rows.py": "one thought, which needs columns and pseudonyms",
    "checkpoints/sentences.py": "the sentences that SQL writes, which Python extracts for translation",
    "checkpoints/step_counts.py": "one thought, which only an import needs",
    "checkpoints/requests.py": "the port of requests, a part of that of the journal",
    "engine/control/journal_door.py": "the other door of a run, as application.py is that of its socket",
    "checkpoints/store.py": "the port of the journal: what it needs of a database",
    "checkpoints/state_tables.py": "what both stores fill when they are opened",
    "checkpoints/sqlite_queries.py": "the blocks on one driver, as postgres_connection.py has them on the other",
    "checkpoints/list_copy.py": "one thought, as copying.py has it of whole journals",
    "checkpoints/guards.py": "the conditions that are checked in the transaction of a read or write",
    "checkpoints/transitions.py": "the transactions of sending, as intake_pages.py has those of the intake",
    "checkpoints/digests.py": "one thought, which intake, purge and connections share",
    "checkpoints/purge.py": "the one transaction of a purge",
    "cli/translate/wget.py": "the table of options of one program, as curl.py is of another",
    "texts/remedies.py": "the one place that spells what sentences advise",
    "jobs/spec/import_words.py": "what of an import is asked where runs are only looked at",
    "jobs/spec/undo_words.py": "what of an undo is asked where runs are only looked at",
    "engine/errors.py": "the error tree of a room",
    "jobs/spec/errors.py": "the error tree of a room",
    "lab/crash/errors.py": "the error tree of a room",
    "lab/crash/fields.py": "one thought, which the load and the books share",
    "lab/crash/clock.py": "a launcher, which imports nothing before its clock is in place",
    "lab/fleet/machine.py": "a launcher, which imports nothing of the program before it is in place",
    "lab/mock/port.py": "one thought, which the server has two of",
    "lab/mock/licence.py": "one thought, which the server sets and the worker asks",
    "engine/pipeline/before_images.py": "the last reading of what a call overwrites",
    "engine/pipeline/live_policy.py": "the one object through which a live run is driven",
    "engine/pipeline/verifier.py": "the one pass of `verify`",
    "billing/database/sql_blocks.py": "the reader of .sql files, for billing, jobs and lab",
    "cli/completion/written_jobs.py": "one thought, which imports nothing of the jobs",
    "cli/completion/options.py": "the table of options, which a tool writes and completion reads",
    "cli/session/step_mark.py": "what of a job file a run remembers, read by commands that read no job file",
    "jobs/refused_amounts.py": "one thought, which plan and report share",
    "jobs/access/durable.py": "one thought, which the probe, the passwords and the recorder share",
    "jobs/effects/step_names.py": "what the plan, the undo and the tally of an import call its steps",
    "jobs/effects/entries_there.py": "one thought, which a new entry and the steps of an import share",
    "jobs/effects/recreate.py": "the way back from a deletion",
    "jobs/rows/secret_cells.py": "the one place that takes secrets out of rows and evidence",
    "jobs/billing_job.py": "the base of two jobs, which stand in a file each",
    "jobs/rows/call_arguments.py": "what the arguments of a call say of its row",
}

# How a person types it only the command line knows: the other rooms advise by values, as `texts.remedies.Remedy`.
SPELLED = re.compile(r"(?<![\w-])--[a-z…]|\bcarbon-migrate(\.toml| [a-z…])|\bCARBON_MIGRATE")
SPELLERS = {"cli", "lab", "texts"}

# A file, or a folder with a slash at its end, that names a flag all the same, and why.
SPELLS_FOR_A_REASON = {
    "engine/pipeline/intake.py": "the key by which journals and --json count the rows that a limit leaves out",
    "jobs/rows/selection.py": "the keys by which journals and --json count the rows that are not chosen",
    "jobs/imports/sample.py": "the key by which journals and --json count the rows that are not in a sample",
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
}


@pytest.fixture(scope="module")
def house() -> House:
    return House()


def test_the_house_keeps_its_rules(house: House) -> None:
    rules = (imports, circles_of_folders, floors, lengths, doubles, private_names, libraries)
    assert sorted({offence for rule in rules for offence in rule(house)}) == []


def imports(house: House) -> Iterator[str]:
    """What is imported against the two tables above, a folder a line, and the lab where it is not asked for."""
    for found in house.imports:
        importer, imported = folder_of(found.importer), folder_of(found.imported)
        if room_of(importer) == room_of(imported):
            allowed = importer == imported or bool({imported, found.imported} & FOLDERS_MAY_IMPORT[importer])
        else:
            allowed = bool({room_of(imported), found.imported} & ROOMS_MAY_IMPORT[room_of(importer)])
        if not allowed:
            yield f"{importer} imports {imported}"
        elif room_of(imported) == "lab" != room_of(importer):
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


def circles_of_folders(house: House) -> Iterator[str]:
    for ring in circles(folders(house.graph())):
        yield f"folders import each other: {', '.join(sorted({room_of(folder) for folder in ring}))}"


def floors(house: House) -> Iterator[str]:
    graph = house.graph()
    return (
        f"{room} stands on more than {most} floors"
        for room, most in FLOORS.items()
        if layers(of_room(graph, room, folders_as_one=True)) > most
    )


def lengths(house: House) -> Iterator[str]:
    for file in house.files:
        lines = len(house.texts[file].splitlines())
        if lines > LONGEST:
            yield f"{file} is long"
        elif lines < SHORTEST and file not in SHORT_FOR_A_REASON:
            yield f"{file} is short"


def doubles(house: House) -> Iterator[str]:
    places: dict[str, list[str]] = {}
    for room in ROOMS:
        for name, files in house.public_classes(room).items():
            places.setdefault(name, []).extend(files)
    return (f"{name} stands in {', '.join(files)}" for name, files in places.items() if len(files) > 1)


def private_names(house: House) -> Iterator[str]:
    return (f"{user} uses {name} of {owner}" for user, owner, name in house.private_uses())


def spelled(house: House) -> Iterator[tuple[str, Text]]:
    """The strings that name a flag, the program or a setting's place, in rooms that do not know how it is typed."""
    for file in house.files:
        if room_of(file) not in SPELLERS:
            yield from ((file, found) for found in house.strings(file) if SPELLED.search(found.text))


def reason_for(file: str, found: Text) -> str | None:
    """What in the table allows it: the file, or for what is not raised its folder."""
    folder = f"{folder_of(file)}/"
    return next((name for name in (file, *(() if found.raised else (folder,))) if name in SPELLS_FOR_A_REASON), None)


def test_remedies_alone_spell_what_is_typed(house: House) -> None:
    found = list(spelled(house))
    assert [f"{file}:{one.line}: {one.text}" for file, one in found if reason_for(file, one) is None] == []
    assert {reason_for(file, one) for file, one in found} == set(SPELLS_FOR_A_REASON), "a reason is needed no more"


@pytest.mark.parametrize(
    "text",
    [
        "give --set x",
        "leave it out (--map)",
        "--…",
        "`carbon-migrate probe`",
        "carbon-migrate …",
        "carbon-migrate.toml",
    ],
)
def test_what_is_typed_is_known_by_its_spelling(text: str) -> None:
    assert SPELLED.search(text)


@pytest.mark.parametrize("text", ["a newer carbon-migrate (format 3)", "carbon-migrate", "-- a comment", "a--b"])
def test_what_nobody_types_is_no_spelling(text: str) -> None:
    assert not SPELLED.search(text)


def test_every_folder_has_its_place_in_the_tables(house: House) -> None:
    assert {folder_of(file) for file in house.files} == set(FOLDERS_MAY_IMPORT)
    assert set(ROOMS_MAY_IMPORT) == set(FLOORS) == set(ROOMS)


def test_the_tables_allow_no_more_than_the_house_needs(house: House) -> None:
    made = {
        (of(one.importer), name)
        for of in (folder_of, room_of)
        for one in house.imports
        for name in (of(one.imported), one.imported)
    }
    tables = (FOLDERS_MAY_IMPORT, ROOMS_MAY_IMPORT)
    allowed = {(importer, name) for table in tables for importer, names in table.items() for name in names}
    assert allowed - made == set()
    graph = house.graph()
    assert {room: layers(of_room(graph, room, folders_as_one=True)) for room in ROOMS} == FLOORS


def test_a_reason_for_a_short_file_is_still_needed(house: House) -> None:
    short = {file for file in house.files if len(house.texts[file].splitlines()) < SHORTEST}
    assert set(SHORT_FOR_A_REASON) - short == set()


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
