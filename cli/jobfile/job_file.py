"""A job file: its schema, errors with line and column, each step as an order, and a new file from an order."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio.to_thread
import msgspec
import tomli_w

from billing.errors import StatementRefused
from checkpoints.own_files import read_regular
from cli.session.order import Order, parse_input, parse_order, parse_repeat
from cli.settings.file_access import FoundFile, read_toml
from cli.settings.flags import Consent, Flags
from cli.settings.order_flags import CallFlags, ImportFlags, OrderFlags, RowFlags
from cli.settings.pacing_flags import Pacing, with_file
from cli.settings.places import in_full
from cli.show.closing import Closing
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.options import Option, names_of, options_of
from cli.terminal.screen import Voice
from cli.terminal.texts import WHOLE, from_bytes, printable, reason_of
from engine.errors import nearest
from engine.pipeline.intake import Repeat
from engine.rows import STDIN
from engine.sources.raw.charset import AUTO
from jobs.catalogue.catalogue import Catalogue
from jobs.catalogue.typed_call import CALL, OWN, YES
from jobs.spec.entries import SharedAccountsRule
from jobs.spec.errors import ParameterRefused
from jobs.spec.spec import JobSpec
from jobs.spec.toml_places import KeyRefused, Toml, check_known
from jobs.spec.toml_places import Path as Way
from texts.remedies import Remedy, command_line, setting
from texts.said import Said, counted, said, text_of

if TYPE_CHECKING:
    from cli.session.session import Invocation

TOML: Final = ".toml"
"""The suffix of job files; no job's name has it."""

FORMAT: Final = 1
STEP: Final = "step"
RUN: Final = "run"

TEXT: Final = said("a text")
TEXTS: Final = said("a list of texts")
TABLE: Final = said("a table of texts")
SWITCH: Final = said("true or false")
NUMBER: Final = said("a whole number above zero")

_FITS: Final[Mapping[str, Callable[[object], bool]]] = {
    TEXT: lambda value: isinstance(value, str),
    TEXTS: lambda value: isinstance(value, list) and all(isinstance(one, str) for one in value),
    # Ids are often written as numbers. Money must be text, since 0.1 is not exact in binary.
    TABLE: lambda value: (
        isinstance(value, dict)
        and all(isinstance(one, str | int) and not isinstance(one, bool) for one in value.values())
    ),
    SWITCH: lambda value: isinstance(value, bool),
    NUMBER: lambda value: isinstance(value, int) and not isinstance(value, bool) and value > 0,
}
"""By the type of a value, whether a value is of it."""

_TYPES: Final = {"A,B": TEXTS, "LINK": TEXTS, "NAME=VALUE": TABLE, "NAME=COLUMN": TABLE, "N": NUMBER}
"""The type of a key's value by the word that its option takes; a text for other words."""


def _keys_of(group: type[object], leave: Collection[str] = ()) -> dict[str, str]:
    def key(name: str, row: Option) -> str:
        return row.flags_of(name)[0].removeprefix("--").replace("-", "_")

    def kind(name: str, row: Option) -> str:
        return _TYPES.get(row.metavar, TEXT) if row.metavar else TEXT if name == "shared_accounts" else SWITCH

    return {key(name, row): kind(name, row) for name, row in options_of(group).items() if name not in leave}


KEYS: Final[Mapping[str, str]] = {
    "job": TEXT,
    "file": TEXT,
    **_keys_of(RowFlags),
    "set": TABLE,
    **_keys_of(CallFlags),
    "output": TEXT,
    **_keys_of(OrderFlags, {"set_", "ask"}),
    "skip_bad": SWITCH,
    "go_on": SWITCH,
}
"""The keys of a step, each with the type of its value."""

_ROW_KEYS: Final = names_of(RowFlags) - {"columns", "mapping"}
_CALL_KEYS: Final = names_of(CallFlags)

PACING: Final = names_of(Pacing)
"""The keys of `[run]`: the flags of the command line, with `_` for `-`."""

DATES: Final[Mapping[str, str]] = {"date": "%Y-%m-%d", "time": "%H%M%S"}
"""What the name of a file can have in braces, each with its format: the moment at which the round was begun."""

_LONGEST: Final = 200
"""Characters of a wrong value that are shown."""

_BRACED: Final = re.compile(r"\{([a-z_]+)\}")


class JobFileRefused(CommandRefused):
    """Raised for a job file that cannot be used; the text names the place."""


@dataclass(frozen=True, slots=True)
class JobFileStep:
    """One job of the file. With `go_on`, rejected rows do not stop the next step."""

    number: int
    order: Order
    output: Path | None
    skip_bad: bool
    go_on: bool

    @property
    def named(self) -> Said:
        return said("step {number} ({job})", number=self.number, job=self.order.kind.name)

    def at(self, moment: datetime) -> "JobFileStep":
        """The step of a round that was begun at this moment: its files are named with that date."""
        made = {one.name for one in self.order.kind.parameters if one.makes_file}
        given = {
            name: dated(value, moment) if name in made else value for name, value in self.order.parameters.items()
        }
        rows = replace(self.order.rows, file=dated(self.order.rows.file, moment))
        output = None if self.output is None else Path(dated(str(self.output), moment))
        return replace(self, order=replace(self.order, parameters=given, rows=rows), output=output)


def dated(name: str, moment: datetime) -> str:
    """A file's name with the date and the time of this moment in place of `{date}` and `{time}`."""
    return _BRACED.sub(lambda found: f"{moment:{DATES.get(found[1], found[0])}}", name)


@dataclass(frozen=True, slots=True)
class JobFile:
    """A checked job file; `pacing` is the content of its `[run]`.

    `path` identifies the file in its runs; `digest` is the SHA-256 of what was read.
    """

    path: Path
    pacing: Mapping[str, object]
    steps: tuple[JobFileStep, ...]
    digest: str = ""

    @property
    def command(self) -> str:
        return command_line("run", printable(self.path, WHOLE))

    def at(self, moment: datetime) -> "JobFile":
        return replace(self, steps=tuple(step.at(moment) for step in self.steps))


BESIDE: Final = frozenset({"job", "record", "out", "overwrite"}) | names_of(Consent, Pacing, Flags, Voice)
"""Parameters allowed beside a job file: they apply to all steps, or do not concern the file."""


async def read_file(name: str, typed: Mapping[str, str], catalogue: Catalogue) -> JobFile:
    """The job file of that name. Raises `JobFileRefused`; `CommandRefused` where it would ignore what is `typed`."""
    if names := [words for name, words in typed.items() if name not in BESIDE]:
        raise CommandRefused(
            counted(
                "{file} says itself what is done, and {names} would be ignored: nothing was sent.\n"
                "Leave it out, or let a step say it: docs/reference/job-files.md has all keys",
                "{file} says itself what is done, and {names} would be ignored: nothing was sent.\n"
                "Leave them out, or let a step say it: docs/reference/job-files.md has all keys",
                len(names),
                file=printable(name),
                names=tuple(names),
            )
        )
    # Resolve the path: the same file must be recognised under every spelling.
    return await anyio.to_thread.run_sync(lambda: read(Path(name).resolve(), catalogue))


def read(path: Path, catalogue: Catalogue) -> JobFile:
    """Read the job file at `path` and check all of it before anything is sent.

    Raises `JobFileRefused` with file, line and column.
    """

    def content() -> bytes:
        # It says where money goes, as the settings do.
        FoundFile(path, said("the job file")).check_mode(path.stat().st_mode)
        return read_regular(path)

    toml = read_toml(content, printable(path), JobFileRefused) or Toml("")
    try:
        return _file(path, toml, catalogue)
    except KeyRefused as error:
        place = toml.place(*error.way)
        raise JobFileRefused(
            "{file}, line {line}, column {column}: {text}",
            file=printable(path),
            line=place.line,
            column=place.column,
            text=error,
        ) from error


def _file(path: Path, toml: Toml, catalogue: Catalogue) -> JobFile:
    """The checked content of the file. Raises `KeyRefused`."""
    content = toml.content
    version = content.get("format", FORMAT)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise KeyRefused(
            "format: {given} is none; this version writes format = {ours}",
            ("format",),
            given=repr(version),
            ours=FORMAT,
        )
    if version > FORMAT:
        raise KeyRefused(
            "the file is of format {theirs}, made by a newer carbon-migrate; this one knows {ours}: install that "
            "version",
            ("format",),
            theirs=version,
            ours=FORMAT,
        )
    check_known((), content, ("format", RUN, STEP))
    pacing = content.get(RUN, {})
    if not isinstance(pacing, dict):
        raise KeyRefused("{key}: a table is expected, as [{key}]", (RUN,), key=RUN)
    _check_pacing(pacing)
    steps = content.get(STEP, [])
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps) or not steps:
        raise KeyRefused("there is no step: begin one with {step} and name its job", (STEP,), step=f"[[{STEP}]]")
    piped = [number for number, step in enumerate(steps) if step.get("file") == STDIN]
    if len(piped) > 1:
        raise KeyRefused(
            "step {first} reads standard input, and it can be read but once: let step {second} read a file",
            (STEP, piped[1], "file"),
            first=piped[0] + 1,
            second=piped[1] + 1,
        )
    return JobFile(
        path, pacing, tuple(_step(path, index, step, catalogue) for index, step in enumerate(steps)), toml.digest
    )


def _step(path: Path, index: int, step: dict[str, Any], catalogue: Catalogue) -> JobFileStep:
    way: Way = (STEP, index)
    check_known(way, step, KEYS)
    for name, value in step.items():
        if not _FITS[KEYS[name]](value):
            raise KeyRefused(
                "{key}: {kind} is expected, not {given}",
                (*way, name),
                key=name,
                kind=KEYS[name],
                given=repr(value)[:_LONGEST],
            )
    job, shared = step.get("job"), step.get("shared_accounts")
    if job is None:
        raise KeyRefused(
            "step {number} names no job; {command} lists all", way, number=index + 1, command=Remedy("jobs")
        )
    if shared not in {None, *SharedAccountsRule}:
        raise KeyRefused(
            "shared_accounts: one of {known} is expected, not {given}",
            (*way, "shared_accounts"),
            known=tuple(map(str, SharedAccountsRule)),
            given=repr(shared),
        )
    # Paths in the file, also those of a file of keys, are relative to the file.
    folder = path.parent.absolute()
    own, calls = ({key: step[key] for key in keys if key in step} for keys in (_ROW_KEYS, _CALL_KEYS))
    calls["fields"] = ",".join(calls.get("fields", ()))
    try:
        order = parse_order(
            job,
            parse_input(step.get("file"), RowFlags(**own), folder, step.get("columns"), _texts(step.get("map"))),
            _given_values(_texts(step.get("set")), CallFlags(**calls).parameters, catalogue.get(job), folder),
            catalogue,
            parse_repeat(again=step.get("again", False), another_billing=step.get("another_billing", False)),
            SharedAccountsRule(shared) if shared is not None else None,
        )
    except (StatementRefused, CommandRefused, ParameterRefused) as error:
        of_select = (*way, "sql" if "sql" in step else "look_up")
        key = of_select if isinstance(error, StatementRefused) else _key_of_error(way, step, error)
        raise KeyRefused("step {number}: {error}", key, number=index + 1, error=error) from error
    _check_dates(way, step, order)
    output = path.parent / step["output"] if step.get("output") else None
    return JobFileStep(index + 1, order, output, step.get("skip_bad", False), step.get("go_on", False))


def _given_values(
    given: Mapping[str, str], calling: Mapping[str, str], spec: JobSpec | None, folder: Path
) -> dict[str, str]:
    if twice := next((name for name in calling if name in given), None):
        raise CommandRefused("{key} is given twice: in the step, and in its set", key=twice)
    files = {one.name for one in (spec.parameters if spec else ()) if one.makes_file or one.reads_file}
    values = {
        name: str(folder / in_full(value)) if name in files and value else value for name, value in given.items()
    }
    return {**values, **calling}


def _check_pacing(pacing: Mapping[str, object]) -> None:
    check_known((RUN,), pacing, PACING)
    for name, value in pacing.items():
        try:
            with_file(Pacing(), {name: value})
        except CommandRefused as error:
            raise KeyRefused(text_of(error), (RUN, name)) from error
    try:
        _ = with_file(Pacing(), pacing).given
    except CommandRefused as error:
        named = (name.removeprefix("--").replace("-", "_") for name in _named_in(text_of(error)))
        raise KeyRefused(text_of(error), (RUN, *(name for name in named if name in pacing))) from error


def _check_dates(way: Way, step: dict[str, Any], order: Order) -> None:
    named: list[tuple[Way, str]] = [((*way, "output"), step.get("output", ""))]
    made = [one.name for one in order.kind.parameters if one.makes_file and one.name in step.get("set", {})]
    for place, name in named + [((*way, "set", name), str(step["set"][name])) for name in made]:
        for word in _BRACED.findall(name):
            if word not in DATES:
                raise KeyRefused(
                    "the name of a file has no {word}{hint}; there are: {known}",
                    place,
                    word=f"{{{word}}}",
                    hint=nearest(word, DATES),
                    known=tuple(f"{{{one}}}" for one in DATES),
                )


def _key_of_error(way: Way, step: dict[str, Any], error: Exception) -> Way:
    """The key that an error is about: its sentence names a parameter or a flag."""
    names = list(_named_in(text_of(error)))
    for name in names:
        if name in step.get("set", {}):
            return (*way, "set", name)
        if name in step:
            return (*way, name)
    return (*way, "job") if step.get("job") in names else way


def _named_in(sentence: str) -> Iterator[str]:
    """The texts that a sentence, and the sentences in it, have been made with, and their codes."""
    if not isinstance(sentence, Said):
        yield sentence
        return
    yield sentence.code
    for value in sentence.values.values():
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str):
                yield from _named_in(text)


def _texts(value: Mapping[str, object] | None) -> dict[str, str]:
    return {name: str(one) for name, one in (value or {}).items()}


SAVED: Final = frozenset(
    {"job", "file", "set_", "again", "another_billing", "shared_accounts", "output", "skip_bad"}
) | names_of(RowFlags, CallFlags, ImportFlags, Pacing)
"""Parameters that a job file can hold."""

SAVING: Final = frozenset({"save", "force"}) | names_of(Voice)
"""Parameters of saving itself."""


def save_order(
    order: Order,
    path: Path,
    told: "Invocation",
    pacing: Pacing,
    typed: Mapping[str, str],
    *,
    output: Path | None = None,
    force: bool,
) -> Closing:
    """Write the order of a command line as a job file.

    Raises `CommandRefused`, also for options that a job file cannot hold.
    """
    if names := [words for name, words in typed.items() if name not in SAVED | SAVING]:
        raise CommandRefused(
            counted(
                "a job file has no place for {names}: leave it out here, and type it with {command}",
                "a job file has no place for {names}: leave them out here, and type them with {command}",
                len(names),
                names=tuple(names),
                command=command_line("run", f"FILE{TOML}"),
            )
        )
    given = {name: _toml_value(name, value) for name, value in sorted(pacing.typed.items())}
    save(order, path, given, output=output, skip_bad=told.consent.skip_bad, force=force)
    file = printable(path, WHOLE)
    done = said(
        "Saved as {path}; nothing was sent. Run it with: {command}", path=file, command=command_line("run", file)
    )
    told.screen.result(done)
    return Closing(Exit.DONE, job=order.kind.name)


def _toml_value(name: str, value: str | bool) -> object:  # noqa: FBT001 - one switch among texts
    """The value as people write it in a job file: a number where the text is one, but money as text."""
    if isinstance(value, bool) or name == "limit_money":
        return value
    for kind in (int, float):
        with suppress(ValueError):
            return kind(value)
    return value


def save(
    order: Order, path: Path, pacing: Mapping[str, object], *, output: Path | None, skip_bad: bool, force: bool
) -> None:
    """Write an order as a job file of one step, with `pacing` by the keys of `[run]`; nothing is run.

    Raises `CommandRefused` for an existing file, one that cannot be written, and for secrets.
    """
    if path.suffix != TOML:
        raise CommandRefused(
            "{path}: the name of a job file ends in {suffix}, or `run` would take it for a job",
            path=printable(path),
            suffix=TOML,
        )
    secret = next((one.name for one in order.kind.parameters if one.secret and order.parameters.get(one.name)), None)
    if secret is not None:
        raise CommandRefused(
            "{name} is a secret: no job file keeps one. Let a column of the rows say it", name=secret
        )
    folder = path.absolute().parent
    step = _keys_of_order(order, folder)
    step |= {"output": _relative(str(output.absolute()), folder) if output else "", "skip_bad": skip_bad}
    keys = {name: step[name] for name in KEYS if step.get(name)}
    tables = {name: keys.pop(name) for name in list(keys) if isinstance(keys[name], dict)}
    # In the usual layout: the tables of a step come after it, each under its own header.
    parts = [tomli_w.dumps({"format": FORMAT, **({RUN: pacing} if pacing else {})})]
    parts += [f"[[{STEP}]]\n{tomli_w.dumps(keys, multiline_strings=True)}"]
    parts += [f"[{STEP}.{name}]\n{tomli_w.dumps(table)}" for name, table in tables.items()]
    text = "\n".join(parts)
    if text != from_bytes(text):
        raise CommandRefused(said("a job file is UTF-8, and the name of a file in it is not: rename that file"))
    try:
        with path.open("w" if force else "x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError as error:
        raise CommandRefused(
            "{path} is there already: name another file, or give {flag}", path=printable(path), flag=setting("force")
        ) from error
    except OSError as error:
        raise CommandRefused("{path} cannot be written: {why}", path=printable(path), why=reason_of(error)) from error


def _keys_of_order(order: Order, folder: Path) -> dict[str, Any]:
    """The order as the keys of a step, the paths of files relative to the folder of the job file."""
    rows, declared = order.rows, order.kind.parameters
    files = {one.name for one in declared if one.makes_file or one.reads_file}
    # A file may be corrected between two runs of a job file, so its digest is left out.
    left_out = {one.digest_name for one in declared if one.reads_file}
    given = {name: _relative(value, folder) if name in files else value for name, value in order.parameters.items()}
    given |= rows.values
    calling: dict[str, object] = {}
    if order.kind.name == CALL:
        left_out |= {one.name for one in OWN}
        calling = {
            "model": given["model"],
            "chain": msgspec.json.decode(given["chain"], type=list[str]),
            "fields": [name for name in given["fields"].split(",") if name],
            "repeatable": given["repeatable"] == YES,
            "look_up": given["look_up"],
        }
    defaults = {one.name: one.default or "" for one in declared}
    return {
        "job": order.kind.name,
        "file": _relative(rows.file, folder),
        **{name: getattr(rows, name) for name in ("sql", "delimiter", "sheet", "limit")},
        "columns": list(rows.columns),
        "map": dict(rows.mapping),
        "encoding": "" if rows.encoding == AUTO else rows.encoding,
        **{
            name: keys and (keys.text or _relative(keys.file, folder))
            for name, keys in (("only", rows.only), ("exclude", rows.exclude))
        },
        "set": {
            name: value for name, value in given.items() if name not in left_out and value != defaults.get(name, "")
        },
        **calling,
        "again": order.enter is Repeat.AGAIN,
        "another_billing": order.enter is Repeat.PER_BILLING,
        "shared_accounts": order.shared_accounts and order.shared_accounts.value,
    }


def _relative(file: str, folder: Path) -> str:
    if file in {"", STDIN}:
        return file
    path = Path(file)
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else file
