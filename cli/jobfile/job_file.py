"""A job file: its schema, errors with line and column, each step as an order, and a new file from an order."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
import tomli_w

from billing.errors import StatementRefused
from checkpoints.own_files import read_regular
from cli.session.order import Order, parse_order, parse_repeat
from cli.settings.file_access import FoundFile, read_toml
from cli.settings.flags import Option, names_of, options_of
from cli.settings.order_flags import CallFlags, OrderFlags, RowFlags
from cli.settings.pacing_flags import Pacing, with_file
from cli.settings.places import in_full
from cli.terminal.exits import CommandRefused
from cli.terminal.texts import WHOLE, from_bytes, printable, reason_of
from engine.errors import nearest
from engine.pipeline.intake import Repeat
from engine.rows import STDIN
from engine.sources.raw.charset import AUTO
from jobs.catalogue.catalogue import Catalogue
from jobs.catalogue.typed_call import CALL, OWN, YES
from jobs.rows.input import Input
from jobs.rows.selection import KeyList, key_list
from jobs.spec.entries import SharedAccountsRule
from jobs.spec.errors import ParameterRefused
from jobs.spec.toml_places import KeyRefused, Toml, check_known
from jobs.spec.toml_places import Path as Way
from texts.remedies import Remedy, command_line, setting
from texts.said import Said, said, text_of

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
    """The options of a record as keys of a step, each with the type of its value."""

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
        """The name of the step, as shown to people."""
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
        """What goes on with the file."""
        return command_line("run", printable(self.path, WHOLE))

    def at(self, moment: datetime) -> "JobFile":
        """The file of a round that was begun at this moment."""
        return replace(self, steps=tuple(step.at(moment) for step in self.steps))


# ---- reading a job file -------------------------------------------------------------------------------------------


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
        return _Reader(path, toml, catalogue).file(toml.content)
    except KeyRefused as error:
        place = toml.place(*error.way)
        raise JobFileRefused(
            "{file}, line {line}, column {column}: {text}",
            file=printable(path),
            line=place.line,
            column=place.column,
            text=error,
        ) from error


@dataclass(frozen=True, slots=True)
class _Reader:
    """Checks the content of the file. Raises `KeyRefused`."""

    path: Path
    toml: Toml
    catalogue: Catalogue

    def file(self, content: Mapping[str, object]) -> JobFile:
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
        read_steps = tuple(self._step(number, step) for number, step in enumerate(steps))
        return JobFile(self.path, pacing, read_steps, self.toml.digest)

    def _step(self, index: int, step: Mapping[str, object]) -> JobFileStep:
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
        try:
            order = parse_order(
                str(job),
                self._input(step),
                self._given_values(step),
                self.catalogue,
                parse_repeat(again=step.get("again") is True, another_billing=step.get("another_billing") is True),
                SharedAccountsRule(str(shared)) if shared is not None else None,
            )
        except (StatementRefused, CommandRefused, ParameterRefused) as error:
            of_select = (*way, "sql" if "sql" in step else "look_up")
            key = of_select if isinstance(error, StatementRefused) else _key_of_error(way, step, error)
            raise KeyRefused("step {number}: {error}", key, number=index + 1, error=error) from error
        _check_dates(way, step, order)
        output = step.get("output")
        return JobFileStep(
            number=index + 1,
            order=order,
            output=self.path.parent / str(output) if output else None,
            skip_bad=step.get("skip_bad") is True,
            go_on=step.get("go_on") is True,
        )

    def _input(self, step: Mapping[str, object]) -> Input:
        # Paths in the file, also those of a file of keys, are relative to the file.
        file, folder = str(step.get("file", "")), self.path.parent.absolute()
        only, exclude = (key_list(str(step[name]), folder) if name in step else None for name in ("only", "exclude"))
        return Input(
            file=file if file in {"", STDIN} else str((self.path.parent / file).absolute()),
            sql=str(step.get("sql", "")),
            columns=tuple(_texts(step.get("columns"))),
            mapping=_table(step.get("map")),
            encoding=str(step.get("encoding", AUTO)),
            delimiter=str(step.get("delimiter", "")),
            sheet=str(step.get("sheet", "")),
            limit=limit if isinstance(limit := step.get("limit"), int) else 0,
            only=only,
            exclude=exclude,
        )

    def _given_values(self, step: Mapping[str, object]) -> dict[str, str]:
        """The parameters of the job, with the paths of files relative to the job file."""
        spec = self.catalogue.get(str(step["job"]))
        files = {one.name for one in (spec.parameters if spec else ()) if one.makes_file or one.reads_file}
        given = {
            name: str(self.path.parent.absolute() / in_full(value)) if name in files and value else value
            for name, value in _table(step.get("set")).items()
        }
        calling = CallFlags(
            model=str(step.get("model", "")),
            chain=_texts(step.get("chain")),
            fields=",".join(_texts(step.get("fields"))),
            repeatable=step.get("repeatable") is True,
            look_up=str(step.get("look_up", "")),
        )
        for name in calling.parameters:
            if name in given:
                raise CommandRefused("{key} is given twice: in the step, and in its set", key=name)
        return {**given, **calling.parameters}


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


def _check_dates(way: Way, step: Mapping[str, object], order: Order) -> None:
    """Refuse a file to be made whose name has something else in braces than a date."""
    made = {one.name for one in order.kind.parameters if one.makes_file}
    named: list[tuple[Way, str]] = [((*way, "output"), str(step.get("output", "")))]
    named += [((*way, "set", name), value) for name, value in _table(step.get("set")).items() if name in made]
    for place, name in named:
        for word in _BRACED.findall(name):
            if word not in DATES:
                raise KeyRefused(
                    "the name of a file has no {word}{hint}; there are: {known}",
                    place,
                    word=f"{{{word}}}",
                    hint=nearest(word, DATES),
                    known=tuple(f"{{{one}}}" for one in DATES),
                )


def _key_of_error(way: Way, step: Mapping[str, object], error: Exception) -> Way:
    """The key that an error is about: its sentence names a parameter or a flag."""
    names = list(_named_in(text_of(error)))
    given = _table(step.get("set"))
    for name in names:
        if name in given:
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


def _texts(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []


def _table(value: object) -> dict[str, str]:
    return {str(name): str(one) for name, one in value.items()} if isinstance(value, dict) else {}


# ---- writing a job file -------------------------------------------------------------------------------------------


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
    step = _step(order, folder)
    step["output"] = _relative(str(output.absolute()), folder) if output else ""
    step["skip_bad"] = skip_bad
    text = _text(pacing, {name: step[name] for name in KEYS if step.get(name)})
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


def _text(pacing: Mapping[str, object], step: Mapping[str, object]) -> str:
    """A step in the usual layout: its tables after it, each under its own header."""
    plain_keys = {name: value for name, value in step.items() if not isinstance(value, dict)}
    parts = [tomli_w.dumps({"format": FORMAT, **({RUN: pacing} if pacing else {})})]
    parts += [f"[[{STEP}]]\n{tomli_w.dumps(plain_keys, multiline_strings=True)}"]
    parts += [f"[{STEP}.{name}]\n{tomli_w.dumps(table)}" for name, table in step.items() if isinstance(table, dict)]
    return "\n".join(parts)


def _step(order: Order, folder: Path) -> dict[str, object]:
    """The order as the keys of a step, the paths of files relative to the folder of the job file."""
    rows, own = order.rows, {one.name: one for one in OWN}
    files = {one.name for one in order.kind.parameters if one.makes_file or one.reads_file}
    # A file may be corrected between two runs of a job file, so its digest is left out.
    digests = {one.digest_name for one in order.kind.parameters if one.reads_file}
    given = {
        name: _relative(value, folder) if name in files else value
        for name, value in {**order.parameters, **rows.values}.items()
        if name not in digests
    }
    calling: dict[str, object] = {}
    if order.kind.name == CALL:
        calling = {
            "model": given["model"],
            "chain": msgspec.json.decode(given["chain"], type=list[str]),
            "fields": [name for name in given["fields"].split(",") if name],
            "repeatable": given["repeatable"] == YES,
            "look_up": given["look_up"],
        }
        given = {name: value for name, value in given.items() if name not in own}
    defaults = {one.name: one.default for one in order.kind.parameters}
    return {
        "job": order.kind.name,
        "file": _relative(rows.file, folder),
        "sql": rows.sql,
        "columns": list(rows.columns),
        "map": dict(rows.mapping),
        "encoding": "" if rows.encoding == AUTO else rows.encoding,
        "delimiter": rows.delimiter,
        "sheet": rows.sheet,
        "limit": rows.limit,
        "only": _keys(rows.only, folder),
        "exclude": _keys(rows.exclude, folder),
        "set": {name: value for name, value in given.items() if value != (defaults.get(name) or "")},
        **calling,
        "again": order.enter is Repeat.AGAIN,
        "another_billing": order.enter is Repeat.PER_BILLING,
        "shared_accounts": order.shared_accounts.value if order.shared_accounts else "",
    }


def _keys(keys: KeyList | None, folder: Path) -> str:
    return "" if keys is None else keys.text or _relative(keys.file, folder)


def _relative(file: str, folder: Path) -> str:
    """The path for the job file: relative to the file's folder where it lies below that."""
    if file in {"", STDIN}:
        return file
    path = Path(file)
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else file
