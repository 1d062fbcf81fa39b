"""A job file: its schema, errors with line and column, each step as an order, and a new file from an order.

Job files are kept in version control. Their steps are run in order: each is a run of its own, with a barrier between
them.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Final

import anyio
import anyio.to_thread
import msgspec
import structlog
import tomli_w
from rich.console import Group
from rich.text import Text

from billing.errors import StatementRefused
from checkpoints.journal import Journal
from checkpoints.own_files import read_regular
from checkpoints.records import Run, Stage, Totals
from cli.session.control_client import serve_control
from cli.session.events import Events, FileEnded, LiveRun, RunEnded, RunReaders
from cli.session.journal import locked, require_unlocked
from cli.session.order import Order, identity, parse_input, parse_order, parse_repeat
from cli.session.run_session import Ready, RunSession, check_files, close_ended, prepare, start_run
from cli.session.run_view import StepMark, mark_of
from cli.session.session import Invocation, Session, open_session
from cli.settings.flags import CallFlags, Consent, Flags, ImportFlags, OrderFlags, Pacing, RowFlags, with_file
from cli.settings.places import FoundFile, in_full, read_toml
from cli.show.closing import Closing, StepOutcome, lacks_only_what_is_in, run_again, steps_of_file
from cli.show.progress import show_sending
from cli.terminal.exits import AWAY, CommandRefused, Exit, NothingSent, code_of, exit_of
from cli.terminal.layout import labelled, render, steps_list
from cli.terminal.options import Option, names_of, options_of
from cli.terminal.screen import Voice
from cli.terminal.signals import Interrupts, heeding_between
from cli.terminal.texts import SENTENCE, WHOLE, from_bytes, printable
from engine.errors import nearest
from engine.job import STDIN
from engine.pacing.holds import Stop, StopKind
from engine.pipeline.barrier import is_worked_off, settled, wait_at_barrier
from engine.pipeline.intake import Repeat
from engine.pipeline.progress import LivePolicy, Progress
from engine.sources.sample import AUTO, FileOnDisk
from jobs.catalogue.catalogue import Catalogue
from jobs.catalogue.typed_call import CALL, OWN
from jobs.runs import unfinished
from jobs.spec.errors import ParameterRefused
from jobs.spec.toml_places import KeyRefused, Toml, as_written, check_known
from jobs.spec.toml_places import Path as Way
from jobs.spec.words import YES, SharedAccountsRule
from texts.said import Said, SaidError, advised, command_line, counted, in_lines, reason_of, said, text_of

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

_SHAPES: Final[Mapping[str, Any]] = {
    TEXT: str,
    TEXTS: list[str],
    # Ids are often written as numbers. Money must be text, since 0.1 is not exact in binary.
    TABLE: dict[str, str | int],
    SWITCH: bool,
    NUMBER: Annotated[int, msgspec.Meta(gt=0)],
}

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
    **_keys_of(OrderFlags, {"set_", "ask", "since"}),
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

_BRACED: Final = re.compile(r"\{([a-z_]+)\}")


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
    """A checked job file: the path that identifies it in its runs, its `[run]`, its steps, and its SHA-256."""

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


async def read_file(name: str, told: Invocation) -> JobFile:
    """The job file of that name. Raises `CommandRefused`, also where it would ignore what was typed."""
    if names := [words for name, words in told.typed.items() if name not in BESIDE]:
        raise CommandRefused(
            counted(
                "{file} says itself what is done, and {names} would be ignored: nothing was sent.\n"
                "Leave [it|them] out, or let a step say it: docs/reference/job-files.md has all keys",
                len(names),
                file=printable(name),
                names=tuple(names),
            )
        )
    # Resolve the path: the same file must be recognised under every spelling.
    return await anyio.to_thread.run_sync(lambda: read(Path(name).resolve(), told.settings.catalogue))


def read(path: Path, catalogue: Catalogue) -> JobFile:
    """Read the job file at `path` and check all of it. Raises `CommandRefused` with file, line and column."""

    def content() -> bytes:
        # It says where money goes, as the settings do.
        FoundFile(path, said("the job file")).check_mode(path.stat().st_mode)
        return read_regular(path)

    toml = read_toml(content, printable(path)) or Toml("")
    try:
        return _file(path, toml, catalogue)
    except KeyRefused as error:
        place = toml.place(*error.way)
        raise CommandRefused(
            "{file}, line {line}, column {column}: {text}",
            file=printable(path),
            line=place.line,
            column=place.column,
            text=error,
        ) from error


def _file(path: Path, toml: Toml, catalogue: Catalogue) -> JobFile:
    content = toml.content
    version = content.get("format", FORMAT)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise KeyRefused(
            "format: {given} is none; this version writes format = {ours}",
            ("format",),
            given=as_written(version),
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
        try:
            msgspec.convert(value, _SHAPES[KEYS[name]])
        except msgspec.ValidationError as error:
            raise KeyRefused(
                "{key}: {kind} is expected, not {given}",
                (*way, name),
                key=name,
                kind=KEYS[name],
                given=as_written(value),
            ) from error
    job, shared = step.get("job"), step.get("shared_accounts")
    if job is None:
        raise KeyRefused(
            "step {number} names no job; {command} lists all", way, number=index + 1, command=advised("jobs")
        )
    if shared not in {None, *SharedAccountsRule}:
        raise KeyRefused(
            "shared_accounts: one of {known} is expected, not {given}",
            (*way, "shared_accounts"),
            known=tuple(map(str, SharedAccountsRule)),
            given=as_written(shared),
        )
    # Paths in the file, also those of a file of keys, are relative to the file.
    folder = path.parent.absolute()
    own, calls = ({key: step[key] for key in keys if key in step} for keys in (_ROW_KEYS, _CALL_KEYS))
    calls["fields"] = ",".join(calls.get("fields", ()))
    calling, spec = CallFlags(**calls).parameters, catalogue.get(job)
    files = {one.name for one in (spec.parameters if spec else ()) if one.makes_file or one.reads_file}
    given = _texts(step.get("set"))
    if twice := next((name for name in calling if name in given), None):
        why = said("{key} is given twice: in the step, and in its set", key=twice)
        raise KeyRefused("step {number}: {error}", (*way, "set", twice), number=index + 1, error=why)
    try:
        given |= {name: str(folder / in_full(given[name])) for name in files & given.keys() if given[name]}
        order = parse_order(
            job,
            parse_input(step.get("file"), RowFlags(**own), folder, step.get("columns"), _texts(step.get("map"))),
            {**given, **calling},
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


def _check_pacing(pacing: Mapping[str, object]) -> None:
    check_known((RUN,), pacing, PACING)
    for name, value in pacing.items():
        try:
            with_file(Pacing(), {name: value})
        except SaidError as error:
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


def save_order(order: Order, path: Path, told: Invocation, *, output: Path | None, force: bool) -> Closing:
    """Write the order of a command line as a job file of one step; nothing is run.

    Raises `CommandRefused` for options that a job file cannot hold, for secrets, for an existing file, and for one
    that cannot be written.
    """
    if names := [words for name, words in told.typed.items() if name not in SAVED | SAVING]:
        raise CommandRefused(
            counted(
                "a job file has no place for {names}: leave [it|them] out here, and type [it|them] with {command}",
                len(names),
                names=tuple(names),
                command=command_line("run", f"FILE{TOML}"),
            )
        )
    if path.suffix != TOML:
        raise CommandRefused(
            "{path}: the name of a job file ends in .toml, or `run` would take it for a job", path=printable(path)
        )
    secret = next((one.name for one in order.kind.parameters if one.secret and order.parameters.get(one.name)), None)
    if secret is not None:
        raise CommandRefused(
            "{name} is a secret: no job file keeps one. Let a column of the rows say it", name=secret
        )
    folder = path.absolute().parent
    step = _keys_of_order(order, folder)
    step |= {"output": _relative(str(output.absolute()), folder) if output else "", "skip_bad": told.consent.skip_bad}
    keys = {name: step[name] for name in KEYS if step.get(name)}
    tables = {name: keys.pop(name) for name in list(keys) if isinstance(keys[name], dict)}
    # In the usual layout: the tables of a step come after it, each under its own header.
    paced = {name: _toml_value(name, value) for name, value in sorted(told.pacing.typed.items())}
    parts = [tomli_w.dumps({"format": FORMAT, **({RUN: paced} if paced else {})})]
    parts += [f"[[{STEP}]]\n{tomli_w.dumps(keys, multiline_strings=True)}"]
    parts += [f"[{STEP}.{name}]\n{tomli_w.dumps(table)}" for name, table in tables.items()]
    text = "\n".join(parts)
    if text != from_bytes(text):
        raise CommandRefused(said("a job file is UTF-8, and the name of a file in it is not: rename that file"))
    try:
        with path.open("w" if force else "x", encoding="utf-8", newline="\n") as written:
            written.write(text)
    except FileExistsError as error:
        raise CommandRefused(
            "{path} is there already: name another file, or give --force", path=printable(path)
        ) from error
    except OSError as error:
        raise CommandRefused("{path} cannot be written: {why}", path=printable(path), why=reason_of(error)) from error
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
        **{name: getattr(rows, name) for name in _ROW_KEYS - {"encoding", "only", "exclude"}},
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


# ---- the rounds of a job file -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StepDecision:
    """The decision on a step. `run` is its run of this round: resumed where it is open, else done before.

    Without one, or where `why` says why that run is not enough, a new run begins.
    """

    step: JobFileStep
    run: Run | None = None
    why: str = ""
    is_open: bool = False

    @property
    def begins(self) -> bool:
        return self.run is None or bool(self.why)


@dataclass(frozen=True, slots=True)
class Round:
    """What is left to do in a round, or a whole new one; `note` says which, "" for the first round.

    It was begun at `begun`; the files of its steps are named with that date.
    `strays` are unfinished runs of the round that match no step of the file any more.
    """

    number: int
    begun: datetime
    decisions: tuple[StepDecision, ...]
    note: str = ""
    strays: tuple[Run, ...] = ()


def passes(step: JobFileStep, outcome: Exit, totals: Totals) -> bool:
    """Whether the next step may begin."""
    goes_on = step.go_on or lacks_only_what_is_in(step.order.kind.name, totals)
    return outcome is Exit.DONE or (goes_on and outcome is Exit.REJECTED)


async def round_of(file: JobFile, target: str, journal: Journal, now: datetime) -> Round:
    """The round that a start of the file at `now` continues or begins. Raises `InputRefused` for a file of rows."""
    here = [run for run in await journal.runs() if run.target == target and run.stage is not Stage.DISCARDED]
    marked = [(mark, run) for run in reversed(here) if (mark := mark_of(run)) and mark.file == str(file.path)]
    number = max((mark.round for mark, _ in marked), default=0)
    latest = [(mark, run) for mark, run in marked if mark.round == number]
    anew = tuple(map(StepDecision, file.at(now).steps))
    if not latest:
        return Round(1, now, anew)
    begun = latest[-1][0].begun
    steps = file.at(begun).steps
    runs = _runs_of(steps, latest)
    # The run of the current last step, or of the last step at that time, has ended the round. Rejected rows do not
    # matter there; rows that wait for a person keep the round open.
    of_last = runs.get(len(steps))
    last = next((run for mark, run in latest if mark.is_last or (of_last and run.run_id == of_last.run_id)), None)
    ends = last is not None and not await unfinished(last, journal)
    if last is not None and ends and exit_of(await journal.totals(last)) in {Exit.DONE, Exit.REJECTED}:
        note = said(
            "Round {number} is at its end, with run {run} of {date}: this is round {next}, from step 1. What must "
            "not be entered twice is left out where an earlier run has it",
            number=number,
            run=last.name,
            date=last.created_at,
            next=number + 1,
        )
        return Round(number + 1, now, anew, note)
    decisions: list[StepDecision] = []
    for step in steps:
        if (run := runs.get(step.number)) is None:
            decisions.append(StepDecision(step))
            continue
        why, is_open = await _reason_to_repeat(step, run, journal), await unfinished(run, journal)
        # A run that was never approved has sent nothing, so the new one replaces it.
        counts = not why or run.approved_at is not None
        if not is_open:
            # Where the file is paused after this run it waits there first, whatever begins next.
            totals = await journal.totals(run)
            waits = run.paused_at is not None and passes(step, exit_of(totals, lacks=totals.lacks), totals)
            counts = not why or waits
        decisions += [StepDecision(step, run, is_open=is_open)] * counts
        decisions += [StepDecision(step, run, why)] * bool(why)
    known = {run.run_id for run in runs.values()}
    strays = [run for _, run in latest if run.run_id not in known and run.approved_at]
    return Round(
        number,
        begun,
        tuple(decisions),
        said("Going on with round {number}, which is not at its end", number=number),
        tuple([run for run in strays if await unfinished(run, journal)]),
    )


def _runs_of(steps: Sequence[JobFileStep], latest: Sequence[tuple[StepMark, Run]]) -> dict[int, Run]:
    """The newest run of each step: by its number first, since two steps may be equal, then among the others."""
    found: dict[int, Run] = {}
    for only_its_own in (True, False):
        for step in steps:
            wanted = identity(step.order.to_parameters())
            left = [one for one in latest if one[1] not in found.values() and one[1].job == step.order.kind.name]
            own = [run for mark, run in left if mark.number == step.number or not only_its_own]
            same = next((run for run in own if identity(run.parameters) == wanted), None)
            if same is not None and step.number not in found:
                found[step.number] = same
    return found


async def _reason_to_repeat(step: JobFileStep, run: Run, journal: Journal) -> str:
    if await journal.taken_back(run):
        return said("run {run} was taken back", run=run.name)
    file = step.order.rows.file

    if file not in {"", STDIN} and await anyio.to_thread.run_sync(
        # A missing file has no rows left to send.
        lambda: Path(file).exists() and FileOnDisk(Path(file)).digest != run.source_digest
    ):
        return said("{file} has changed since run {run} began with it", file=printable(file), run=run.name)
    return ""


# ---- waiting between two steps ------------------------------------------------------------------------------------


log = structlog.get_logger(__name__)

BLIND: Final = said("without a database nobody can see what the billing has still to do")
"""Why a fixed time is waited instead of waiting for the billing."""


def with_waiting(closing: Closing, seconds: float, held: Mapping[str, float], stop: Stop) -> Closing:
    """The closing of a file's last step, with the time waited between steps and the stop that ended the waiting."""
    whole = replace(closing, seconds=closing.seconds + seconds, held=Counter(held) + Counter(closing.held))
    if not stop.requested:
        return whole
    code = Exit.INTERRUPTED if stop.kind is StopKind.INTERRUPTED else Exit.STOPPED
    return replace(whole, exit=code, stopped=stop.reason)


async def wait(run: Run, session: Session) -> tuple[Progress, Stop]:
    """Wait after a finished run until the next step may begin, or a stop is requested; say how long, and the stop.

    Raises `CommandRefused` when another process works on the run, `JournalError`, and what `rebuild` raises.
    """
    structlog.contextvars.bind_contextvars(run=run.name)
    journal, screen, progress = session.journal, session.screen, Progress()
    # An interrupt that came when the step had nothing left to stop applies to the file; other stops are over.
    stop = session.stop if session.stop.kind is StopKind.INTERRUPTED else Stop()
    live, interrupts = LivePolicy(session.policy_of(run), progress, stop), Interrupts(stop, screen)
    readers = RunReaders(run, journal, progress, interrupts, ended=True)
    async with (
        locked(run, journal, "run") as ours,
        interrupts.listening(),
        readers.following(session.readers),
    ):
        progress.take_up(await journal.totals(ours), intake_ended=True)
        with interrupts.before_sending():
            if session.gateway.database is None:
                gauge = settled(live.policy.settle, BLIND)
            else:
                job = await session.for_run(ours).rebuild(ours)
                gauge = is_worked_off(ours, job, journal, live.policy.drain_patience)
            paused = True
            while paused and not stop.requested:
                async with (
                    serve_control(ours, journal, live, screen),
                    show_sending(progress, screen, ours.name),
                ):
                    await wait_at_barrier(gauge, live)
                # A pause may have been confirmed just as the waiting ended, and must hold.
                paused = (await journal.run(ours.name)).paused_at is not None
    if stop.requested:
        log.info("the next step does not begin", why=stop.reason)
    return progress, stop


# ---- the steps in order -------------------------------------------------------------------------------------------


async def check_all(decisions: Sequence[StepDecision], session: Session) -> Mapping[int, Ready]:
    """Open the rows of each step that begins, so that a missing file is reported before anything is sent.

    Returns, by number, the steps that read standard input, since it can be read only once. Rows that an earlier step
    writes are opened later. Raises `CommandRefused`, naming the step.
    """
    piped: dict[int, Ready] = {}
    makers: dict[Path, JobFileStep] = {}
    for decision in decisions:
        step = decision.step
        if decision.begins:
            try:
                one = prepare(step.order, check_files(step.order, step.output), session)
                await one.job.check()
                if not is_to_be_made(step, makers):
                    # All that the source knows before its first row.
                    await anyio.to_thread.run_sync(attrgetter("source.digest", "source.header"), one.job)
            except SaidError as error:
                why = said("{step}: {error}", step=step.named, error=error)
                raise NothingSent(why, code_of(error)) from error
            if step.order.rows.file == STDIN:
                piped[step.number] = one
        for path in files_made(step):
            if (other := makers.setdefault(path, step)).number != step.number:
                raise NothingSent(
                    "{step} and {other} both make {path}: name another file in one of them",
                    step=step.named,
                    other=other.named,
                    path=printable(path),
                )
    return piped


def is_to_be_made(step: JobFileStep, makers: Mapping[Path, JobFileStep]) -> bool:
    file = Path(step.order.rows.file)
    return file.resolve() in makers and not file.exists()


def files_made(step: JobFileStep) -> tuple[Path, ...]:
    named_by = [step.order.parameters[one.name] for one in step.order.kind.parameters if one.makes_file]
    return tuple(Path(file).resolve() for file in (step.output, *named_by) if file is not None)


async def run(name: str, told: Invocation) -> Closing:
    """Run what is left of the round of a job file, or a new one.

    The closing is the last step's, with the worst exit code, the outcomes of all steps, which are shown as a table,
    and the time waited between them. A step without success ends the file, unless `go_on` allows rejected rows; so
    does a stop between two steps. A step that is resumed takes the pacing of the command line alone, since its run
    keeps the rest. Raises `CommandRefused`, `InputRefused`, `BillingError` and `JournalError` while
    nothing was sent; an error after that is shown, and in the closing. A billing that is away is no refusal, for a
    job file is started at night, when nobody is there: the code says that the same command goes on.
    """
    file = await read_file(name, told)
    pacing = with_file(told.pacing, file.pacing)
    _ = pacing.given
    try:
        async with open_session(told) as session:
            return await _FileRun(file, session, pacing).run()
    except AWAY as error:
        raise CommandRefused(
            "{error}\nWhen the billing is back, the same command goes on:\n{command}",
            Exit.STOPPED,
            error=error,
            command=file.command,
        ) from error


@dataclass(slots=True)
class _FileRun:
    """Works on the steps of a job file; `pacing` is that of a step that begins."""

    file: JobFile
    session: Session
    pacing: Pacing
    done: list[StepOutcome] = field(default_factory=list)
    waited: float = 0.0
    held: Counter[str] = field(default_factory=Counter)
    stop: Stop = field(default_factory=Stop)
    untold: Run | None = None
    """The run after which the file has ended between two steps; None where a run has ended it, and told so."""

    async def run(self) -> Closing:
        screen, session = self.session.screen, self.session
        now = await round_of(self.file, await session.target(), self.session.journal, datetime.now().astimezone())
        if now.note:
            screen.say(render(now.note))
        for run in now.strays:
            stray = counted(
                "no step of the file is like run {run} ({job}) any more, and it is not at its end: {n} row[s] left. "
                "{command} takes it there",
                (await self.session.journal.totals(run)).count_where(open=True),
                run=run.name,
                job=run.job,
                command=command_line("resume", run.name),
            )
            screen.say_always(labelled(said("note:"), stray, "yellow"))
        piped = await check_all(now.decisions, session)
        async with heeding_between():
            closing = await self._work_through(now, piped)
        closing = with_waiting(closing, self.waited, self.held, self.stop)
        left = [_outcome(decision, None) for decision in now.decisions[len(self.done) :]]
        closing = replace(closing, steps=(*self.done, *left))
        screen.result(Group(Text(""), steps_of_file(closing.steps)), good=closing.exit is Exit.DONE)
        if self.untold is not None and session.readers:
            # A signal ends the waiting for the readers, who are told that the file ends after this run.
            interrupts = Interrupts(Stop(), screen)
            readers = RunReaders(self.untold, self.session.journal, Progress(), interrupts, ended=True)
            async with interrupts.listening(), readers.following(session.readers):
                readers.end(FileEnded(closing))
        return closing

    async def _work_through(self, now: Round, piped: Mapping[int, Ready]) -> Closing:
        """Work on the steps in order, and note the outcome of each; returns the closing of the last one."""
        file, worst = self.file, Exit.DONE
        closing, run = Closing(worst), None
        for decision in now.decisions:
            step, ended = decision.step, anyio.Event()

            async def hear_end(_: LiveRun, events: Events, ended: anyio.Event = ended) -> None:
                async for event in events:
                    if isinstance(event, RunEnded):
                        ended.set()
                        return

            consent = replace(self.session.consent, skip_bad=self.session.consent.skip_bad or step.skip_bad)
            readers = (*self.session.readers, hear_end) if self.session.readers else ()
            session = replace(self.session, consent=consent, stop=Stop(), readers=readers)
            place = said("Step {number} of {steps}:", number=step.number, steps=len(file.steps))
            self.session.screen.say(Group(Text(""), labelled(place, printable(step.order.kind.name), "bold")))
            try:
                mark = StepMark(str(file.path), now.number, step.number, len(file.steps), now.begun, file.digest)
                closing = await self._work_on(decision, mark, piped.get(step.number), session)
                self.done.append(_outcome(decision, closing))
                if not passes(step, closing.exit, closing.totals):
                    self._show_end(step, closing)
                    return closing
                if decision is not now.decisions[-1] and closing.run is not None:
                    run = await self.session.journal.run(closing.run)
                    waited, self.stop = await wait(run, session)
                    self.waited += waited.seconds
                    self.held.update(waited.holds.seconds)
                    if self.stop.requested:
                        await self._show_stop(step, run)
                        # Who interrupts what a step has still to tell wants no more to be told.
                        self.untold = None if session.stop.kind is StopKind.INTERRUPTED else run
                        return closing
            except SaidError as error:
                if all(one.done_before for one in self.done):
                    if not isinstance(error, NothingSent) or not (beside := await self._beside(decision, now)):
                        raise
                    raise NothingSent(in_lines([error.why, *beside]), code_of(error)) from error
                self.untold = None if ended.is_set() else run
                return self._failed(decision, error)
            worst = max(worst, closing.exit)
        return replace(closing, exit=worst)

    async def _work_on(
        self, decision: StepDecision, mark: StepMark, piped: Ready | None, session: Session
    ) -> Closing:
        screen, step, run = self.session.screen, decision.step, decision.run
        if decision.begins or run is None:
            if decision.why:
                screen.say(said("{why}: the step is begun anew", why=decision.why))
            # Rows opened for the check may be hours old, so they are opened again; standard input cannot be.
            one = piped or prepare(step.order, check_files(step.order, step.output), session)
            return await start_run(one, replace(session, pacing=self.pacing), mark.to_parameters())
        await require_unlocked(run, self.session.journal)
        if decision.is_open:
            screen.say(said("taking up run {run}", run=run.name))
            resumed = session.for_run(run)
            return await RunSession(run, await resumed.rebuild(run), resumed, fresh=False).run()
        screen.say(
            counted(
                "done before in this round: run {run}, {n} row[s]",
                (await self.session.journal.totals(run)).frozen,
                run=run.name,
            )
        )
        closing, _ = await close_ended(run, self.session.journal, session.settings.catalogue)
        if closing.error:
            screen.complain(closing.error)
        return closing

    async def _beside(self, decision: StepDecision, now: Round) -> list[str]:
        """What can be done beside the file where a step is refused: what is advised for it, and later steps."""
        lines, journal = list[str](), self.session.journal
        if decision.run is not None and (command := run_again(decision.run)):
            own = said(
                "What is advised with a flag is typed as a command of its own, not with the file, which then passes "
                "over it:\n{command}",
                command=command,
            )
            lines.append(own)
        for later in now.decisions[len(self.done) :]:
            if (run := later.run) is not None and later.is_open and not later.begins and run.approved_at:
                left = counted(
                    "{step} is not at its end: run {run}, {n} row[s] left. To send them now:\n{command}",
                    (await journal.totals(run)).count_where(open=True),
                    step=later.step.named,
                    run=run.name,
                    command=command_line("resume", run.name),
                )
                lines.append(left)
        return lines

    def _failed(self, decision: StepDecision, error: SaidError) -> Closing:
        """The closing of a file that an error ends in its middle: what is wrong, what is done, what to type."""
        sent = [
            said("step {number} (run {run})", number=one.number, run=str(one.closing.run))
            for one in self.done
            if one.closing
        ]
        why = said(
            "{step}: {why}\nStopped in the middle of {file}; done before that: {sent}.\n"
            "Put right what is wrong, then go on with: {command} (it passes over what is done)",
            step=decision.step.named,
            why=error.why if isinstance(error, NothingSent) else text_of(error),
            file=printable(self.file.path),
            sent=tuple(sent),
            command=self.file.command,
        )
        code = code_of(error)
        code = Exit.STOPPED if code is Exit.REFUSED else code
        failed = Closing(code, job=decision.step.order.kind.name, error=why)
        self.session.screen.complain(why)
        if self.done[-1].number != decision.step.number:
            self.done.append(_outcome(decision, failed))
        return failed

    async def _show_stop(self, step: JobFileStep, run: Run) -> None:
        run, then = await self.session.journal.run(run.name), [(self.file.command, said("go on with the next step"))]
        if run.paused_at:
            then.insert(0, (command_line("continue", run.name), said("end the pause")))
        why = said("stopped after step {number}: {why}", number=step.number, why=self.stop.reason)
        line = Text("■ ", "bold yellow").append(printable(why, SENTENCE))
        self.session.screen.result(Group(line, steps_list(then)), good=False)

    def _show_end(self, step: JobFileStep, closing: Closing) -> None:
        if not (left := len(self.file.steps) - step.number):
            return
        ended = counted(
            "Step {number} ended with exit code {code}: the {n} after it [was|were] not begun.",
            left,
            number=step.number,
            code=int(closing.exit),
        )
        command = self.file.command
        remedy = (
            said("Put right what is wrong or give the step go_on = true, then: {command}", command=command)
            if closing.exit is Exit.REJECTED
            else said("Put right what is wrong, then: {command}", command=command)
        )
        self.session.screen.say_always(labelled(ended, remedy, "yellow"))


def _outcome(decision: StepDecision, closing: Closing | None) -> StepOutcome:
    step, before = decision.step, not (decision.begins or decision.is_open)
    output = None if step.output is None else str(step.output)
    return StepOutcome(step.number, step.order.kind.name, closing, output, done_before=before)
