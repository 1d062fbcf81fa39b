"""`jobs`: lists the jobs and their parameters, and checks a declaration of one's own."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from rich.console import RenderableType
from rich.syntax import Syntax
from rich.text import Text

from cli.commands.selftest import ROWS, check_declaration
from cli.settings.flags import CONFIG
from cli.settings.settings import declared_jobs
from cli.terminal.exits import CommandRefused
from cli.terminal.layout import Facts, Part, command, labelled, one_line, render, section, stack, steps_list
from cli.terminal.options import argument, as_command, option
from cli.terminal.screen import JsonVoice, Screen
from jobs.catalogue.catalogue import Catalogue
from jobs.spec.columns import usual_names
from jobs.spec.parameters import Parameter
from jobs.spec.spec import JobSpec, Special, asked_for, own_select
from texts.said import command_line, said

ROUNDS: Final = 3
CHECK: Final = "check"
"""The word before a declaration that is to be checked; no job can have this name."""
_CLAUSE: Final = re.compile(r".*?(?=[;:.] |$)")
"""The beginning of a help, which says what a parameter is."""
_CHECKING: Final = ("jobs", CHECK, "FILE.py")


@as_command("jobs")
def _jobs(
    name: str | None = argument("JOB", f"A job, for its parameters; or {CHECK} FILE.py.", required=False),
    declaration: Path | None = argument("FILE", f"The jobs of one's own to {CHECK}.", required=False),
    *,
    rounds: int | None = option("N", f"Rounds for each job to {CHECK}, {ROUNDS} by default.", least=1),
    seed: int | None = option("N", "The first round's; those after it count on. Drawn, by default.", least=0),
    rows: int | None = option("N", f"Rows of a round, {ROWS} by default.", least=20, most=20_000),
    config: Path | None = CONFIG,
    voice: JsonVoice,
) -> None:
    """List the jobs, or show one with its parameters and an example.

    Of one job it shows its parameters, its columns, its select, its call and its way back as well. `check` tries the
    jobs of a file of one's own in the crash lab, and says what it cannot promise of them.
    """
    screen = Screen(voice)
    if name == CHECK:
        if declaration is None:
            raise CommandRefused("name the file to be checked: {command}", command=command_line(*_CHECKING))
        raise SystemExit(check_declaration(declaration, rounds or ROUNDS, seed, rows or ROWS, screen))
    if declaration is not None or (rounds, seed, rows) != (None, None, None):
        raise CommandRefused(
            "a file, --rounds, --seed and --rows belong to {command}", command=command_line(*_CHECKING)
        )
    show(name, declared_jobs(config), screen)


def show(name: str | None, catalogue: Catalogue, screen: Screen) -> None:
    """Show all jobs, or one in detail. Raises `ParameterRefused` for an unknown name."""
    if name is not None:
        job = catalogue.named(name)
        if screen.voice.as_json:
            screen.emit(as_object(job))
        else:
            screen.result(_one_job(job))
        return
    for fault in catalogue.faults:
        screen.say_always(labelled(said("note:"), fault, "yellow"))
    jobs = catalogue.jobs.values()
    if screen.voice.as_json:
        screen.emit([as_object(job) for job in jobs])
        return
    reads = render(said("reads"), "cyan").append("  ")
    purpose = said("see its parameters, select, call, way back and an example")
    summaries = ((job.name, Text.assemble("" if job.writes else reads, render(job.summary))) for job in jobs)
    screen.result(stack(Facts(*summaries), "", steps_list([(command_line("jobs", "JOB"), purpose)])))


def as_object(job: JobSpec) -> dict[str, object]:
    return {
        "name": job.name,
        "recipes": list(job.recipes),
        "summary": job.summary,
        "writes": job.writes,
        "parameters": [_parameter(one) for one in job.parameters],
        "sql": own_select(job),
        "call": job.call,
        "way_back": job.undo,
        "undo_parameters": [_parameter(one) for one in job.undo_parameters],
        "example": job.example,
    }


def needs(job: JobSpec) -> str:
    """The possible sources of the job's rows, in words."""
    if job.special is Special.IMPORT:
        return said("a file; or standard input; and files joined by contract number")
    sources = said("a file; or standard input; or --sql")
    of_rows = [
        f"--ask {one.name}" if one.secret else f"--set {one.name}=…"
        for one in job.parameters
        if one.columns is not None and one.default is None
    ]
    if of_rows:
        sources = said("{sources}; or one row of {flags}", sources=sources, flags=tuple(of_rows))
    if not (select := own_select(job)):
        return sources
    if asked := [f"--set {name}=…" for name in asked_for(select)]:
        return said("the job's own select, below, with {flags}; or {sources}", flags=tuple(asked), sources=sources)
    return said("the job's own select, below; or {sources}", sources=sources)


def value(parameter: Parameter) -> str:
    choices, default = " | ".join(parameter.choices), parameter.default
    if default is None:
        return said("{choices} (required)", choices=choices) if choices else said("(required)")
    if choices and default:
        return f"{choices} ({default})"
    return said("{choices} (may be left out)", choices=choices) if choices else default or said("(may be left out)")


def in_rows(parameter: Parameter) -> str:
    """The column names under which rows can give the parameter, "" where they cannot."""
    return "" if parameter.columns is None else ", ".join((parameter.name, *parameter.columns))


def _further_names(parameter: Parameter) -> tuple[str, ...]:
    """The usual names, Russian and English, under which the rows' column is found as well."""
    return () if parameter.columns is None else usual_names(parameter.name, parameter.columns)


def _parameter(one: Parameter) -> Mapping[str, object]:
    return {
        "name": one.name,
        "help": one.help,
        "default": one.default,
        "choices": list(one.choices),
        "columns": None if one.columns is None else [one.name, *one.columns, *_further_names(one)],
        "secret": one.secret,
    }


def _one_job(job: JobSpec) -> RenderableType:
    named = [(one.name, Text(", ".join(names))) for one in job.parameters if (names := _further_names(one))]
    title = said("columns that are found as well; another name: --map NAME=COLUMN")
    select = own_select(job)
    coloured: list[Text] = []
    if select:
        lines = Syntax(select, "sql", theme="ansi_dark", background_color="default").highlight(select).split("\n")
        coloured += [one_line("  ", line) for line in lines]
    return stack(
        Facts(
            (said("job"), Text.assemble((job.name, "bold"), "  ", render(job.summary))),
            (said("kind"), said("writes") if job.writes else said("reads; its answers become a file")),
            (said("rows"), render(needs(job))),
            (said("call"), render(job.call)),
            (said("undo"), render(job.undo)),
        ),
        render(said("example"), "dim"),
        command(job.example),
        parameter_list("--set NAME=VALUE", job.parameters),
        section(render(title, "dim"), Facts(*named, indent=2)) if named else None,
        parameter_list("undo --set NAME=VALUE", job.undo_parameters),
        section(render(said("its own select"), "dim"), *coloured) if select else None,
    )


def parameter_list(title: str, parameters: Sequence[Parameter], *, briefly: bool = False) -> Part:
    """What each parameter is; briefly the beginning of its help, and how it is typed where rows cannot give it."""
    pairs: list[tuple[str, Text]] = []
    for one in parameters:
        about, columns, name = render(one.help), in_rows(one), one.name
        needed = f"{render(value(one))}  "
        if briefly:
            about.truncate(len(_CLAUSE.findall(about.plain)[0]))
            name = name if columns else f"--set {name}"
            needed = "" if one.default == "" and not one.choices else needed
        elif columns:
            about.append("\n").append_text(render(said("columns: {columns}", columns=columns), "dim"))
        pairs.append((name, Text.assemble((needed, "cyan"), about)))
    return section(render(title, "dim"), Facts(*pairs, indent=2)) if pairs else None
