"""The help of a command that takes a job: what the job needs is shown, each other group of options in a line by name.

A group is a panel of the options. `--help --verbose` shows all of them.
"""

import os
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from cli.settings.order_flags import PANELS_OF_JOBS, ROWS
from cli.terminal.language import reader
from cli.terminal.usage import Command, panel_of, show_help, translate_text
from texts.remedies import command_line, setting
from texts.said import said

if TYPE_CHECKING:
    from jobs.spec.spec import JobSpec

_WORDS: Final = __name__


class JobCommand(Command):
    """A command whose job is its argument JOB, or is named as the command is: `import`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words, and keep them: help is shown before any of them is a parameter."""
        ctx.meta[_WORDS] = tuple(args)
        return super().parse_args(ctx, args)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the help of the job that was typed; without one, that of the command."""
        # Imported here, so that a command that is not asked for its help starts fast.
        from rich.console import Console

        from cli.commands.jobs import parameter_list
        from cli.terminal.layout import Facts, render
        from cli.terminal.screen import Screen

        given = self.make_parser(ctx).parse_args(args=list(ctx.meta.get(_WORDS, ())))[0]
        typed = next((one for one in self.params if one.name == "job"), None)
        job = _job(given.get("job") if typed else self.name, given.get("config"))
        own = PANELS_OF_JOBS.get(job.name) if job else None
        by_flag = {one.name for one in self.params if panel_of(one) == own} if own else set()
        shown: list[click.Parameter] = []
        named: defaultdict[str, list[str]] = defaultdict(list)
        for one in self.get_params(ctx):
            panel = panel_of(one)
            if getattr(one, "hidden", False) or (job and not _concerns(one.name, panel, job, self.name)):
                continue
            if given.get("verbose") or panel in {"", ROWS, own}:
                shown.append(one)
            else:
                named[panel].append(max(one.opts, key=len))
        words = ctx.command_path.split()[1:]
        about, pieces = translate_text(self.help), self.collect_usage_pieces(ctx)
        if job and typed:
            words.append(job.name)
            shown.remove(typed)
            about = f"{job.name}: {render(job.summary)}"
            pieces = [job.name if one in typed.get_usage_pieces(ctx) else one for one in pieces]
        show_help(ctx, pieces, about, shown)
        screen = Screen(out=Console(highlight=False, emoji=False))
        if job:
            title = said("columns of the rows, or {flag}", flag=setting("set", "NAME=VALUE"))
            by_name = [one for one in job.parameters if typed and one.name not in by_flag]
            if listed := parameter_list(title, by_name, briefly=True):
                screen.result(listed)
            screen.result(said("more about the job: {command}", command=command_line("jobs", job.name)))
        elif typed:
            screen.result(said("what a job needs: {command}", command=command_line(*words, "JOB", "--help")))
        if named:
            screen.result("")
            screen.result(said("more options: {command}", command=command_line(*words, "--help", "--verbose")))
            facts = Facts(indent=2)
            for panel, options in named.items():
                facts.add(reader().translate(panel), " ".join(options))
            screen.result(facts)


def _job(name: object, config: object) -> "JobSpec | None":
    """The job of that name, None for none and for a job file. Raises `ParameterRefused` for one that there is not."""
    from cli.settings.flags import COMMON_PART, Flags
    from cli.settings.settings import load
    from jobs.catalogue.catalogue import JOBS

    if not isinstance(name, str) or name.endswith(".toml"):
        return None
    if name in JOBS:
        return JOBS[name]
    flags = Flags(config=Path(config) if isinstance(config, str) else None, profile=COMMON_PART)
    return load(flags, os.environ, Path.cwd()).catalogue.named(name)


def _concerns(option: str, panel: str, job: "JobSpec", command: str | None) -> bool:
    """Whether the help of a job has to show an option, or to name it."""
    match option:
        case "set_":
            return False  # Its parameters are shown themselves.
        case "ask":
            return any(one.secret for one in job.parameters)
        case "output":
            return command != "run" or not job.writes
        case "changed_declaration":
            return job.declared is not None
        case "shared_accounts":
            return any(one.name == "op_type" for one in job.parameters) or job.name == "call"
        case _:
            return panel not in PANELS_OF_JOBS.values() or panel == PANELS_OF_JOBS.get(job.name)
