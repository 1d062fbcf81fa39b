"""`carbon-migrate`: the table of all commands, and the entry point of the program.

Each command has its own file, which is imported only when the command is typed. This keeps every command's start
fast.
"""

import gc
import os
import signal
import sys
from contextlib import suppress
from enum import Enum, auto
from importlib import import_module
from typing import Any, Final, NamedTuple

import click

from cli.terminal.options import Command, Flag, Group, show_usage_error
from cli.terminal.streams import outputs
from cli.terminal.texts import set_reader, typed_language
from texts.said import PROGRAM


class Product(Enum):
    """What a command is there for, and so what its exit code speaks of."""

    OUTPUT = auto()
    """What it prints or writes: where that is lost, the command has failed."""
    CHANGE = auto()
    """A change, here or in the billing: done, also when what it printed is lost."""
    RUN = auto()
    """A run that sends: the same, and it can be resumed."""


class Entry(NamedTuple):
    """A command of the program: its file, its group in the help, and the first sentence of its own help."""

    file: str
    group: str
    summary: str
    product: Product = Product.OUTPUT

    @property
    def module(self) -> str:
        return f"cli.commands.{self.file}"


BEGIN: Final = "Begin"
LOAD: Final = "Load"
STEER: Final = "Watch and steer"
SETTLE: Final = "Check, mend, take back"
TRY: Final = "Try and prove"


COMMANDS: Final = {
    "doctor": Entry("doctor", BEGIN, "Check everything that a run rests on, and say what to mend."),
    "jobs": Entry("jobs", BEGIN, "List the jobs, or show one with its parameters and an example."),
    "translate": Entry("translate", BEGIN, "Turn shell one-liners (curl, loops, xargs) into commands."),
    "probe": Entry("probe", BEGIN, "Ask a live billing what nobody documents of it.", Product.CHANGE),
    "dictionary": Entry("dictionary", BEGIN, "Collect names of tariffs, services and folders for an import."),
    "completion": Entry("completion", BEGIN, "Print the script that completes commands in bash, zsh or fish."),
    "plan": Entry("plan", LOAD, "Show what a run would do; nothing is sent."),
    "run": Entry("run", LOAD, "Show what a job will do, ask, and do it.", Product.RUN),
    "import": Entry("run", LOAD, "Show what a table makes of subscribers, ask, and create them.", Product.RUN),
    "resume": Entry("run", LOAD, "Go on with a run that was stopped, interrupted or killed.", Product.RUN),
    "worker": Entry("worker", LOAD, "Send the runs that were handed in, until Ctrl-C.", Product.CHANGE),
    "status": Entry("status", STEER, "Show all runs, or one of them in detail."),
    "compare": Entry(
        "compare", STEER, "Compare two runs: rows, sums, pace and errors, and which rows only one of them has."
    ),
    "page": Entry("page", STEER, "Show runs in a browser while they work, until Ctrl-C."),
    "pause": Entry("control", STEER, "Send nothing more until `continue`, also after a restart.", Product.CHANGE),
    "continue": Entry("control", STEER, "Let a paused run go on.", Product.CHANGE),
    "get": Entry("control", STEER, "Show what can be set on a working run, and what it is now."),
    "set": Entry("control", STEER, "Change how hard a working run drives the billing.", Product.CHANGE),
    "stop": Entry("control", STEER, "Stop a run as Ctrl-C would; `resume` goes on.", Product.CHANGE),
    "verify": Entry("verify", SETTLE, "Read back what the billing now says, and compare it."),
    "reconcile": Entry("verify", SETTLE, "Look up what is in doubt; sends nothing.", Product.CHANGE),
    "decide": Entry(
        "control", SETTLE, "Record a person's decision on a row that no look-up can settle.", Product.CHANGE
    ),
    "export": Entry("export", SETTLE, "Write the rows of a run to files, to be read or corrected."),
    "report": Entry("report", SETTLE, "Write the report of a run or of a job file, to be signed."),
    "validate": Entry("validate", SETTLE, "Write the record of a verified run, for others who have the same export."),
    "undo": Entry("run", SETTLE, "Take a run back; what was changed since is left alone.", Product.RUN),
    "close": Entry("control", SETTLE, "End a stopped run for good: what was not sent never is.", Product.CHANGE),
    "purge": Entry("purge", SETTLE, "Remove what finished runs hold of people; totals can be kept.", Product.CHANGE),
    "journal": Entry("journal", SETTLE, "Move a journal: from a file to PostgreSQL, or back.", Product.CHANGE),
    "demo": Entry("selftest", TRY, "Load balances, kill the load, resume it, and prove the result.", Product.CHANGE),
    "selftest": Entry("selftest", TRY, "Kill loads of a mock billing that fails, and prove the result."),
    "mock": Entry("mock", TRY, "A billing to try things on, with made-up subscribers.", Product.CHANGE),
}
"""All commands, in the order of the help."""


class Deferred(Command):
    """Stands for a command whose file is not imported yet; when typed, it becomes that command."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,  # noqa: ANN401 - as click has it
    ) -> click.Context:
        """Import the command, and let it parse its arguments.

        Ctrl-C meanwhile ends the process at once: nothing has begun, and no module is there to tell of it.
        """
        if hears := signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        command = load(str(self.name))
        if hears:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return command.make_context(info_name, args, parent, **extra)


def load(name: str) -> Command:
    """The command from its file, which has it or the commands of its group."""
    gc.disable()
    module = import_module(COMMANDS[name].module)
    # What was imported stays: to look for garbage among it takes a fifth of a command's start. A page of rows is some
    # ten thousand objects, which stay until it is worked off: to look through them again and again takes as much.
    gc.freeze()
    gc.set_threshold(10_000)
    gc.enable()
    found = {str(one.name): one for one in vars(module).values() if isinstance(one, Command)}
    return found[name] if name in found else Group(name, found, help=COMMANDS[name].summary)


def _show_version(context: click.Context, parameter: click.Parameter, is_asked: bool) -> None:  # noqa: ARG001, FBT001 - as click calls it
    if is_asked:
        from importlib.metadata import version

        sys.stdout.write(f"{PROGRAM} {version(PROGRAM)}\n")
        context.exit()


app: Final = Group(
    PROGRAM,
    {name: Deferred(name, entry.group, help=entry.summary) for name, entry in COMMANDS.items()},
    params=[
        Flag(
            ["--version"],
            is_flag=True,
            default=False,
            callback=_show_version,
            expose_value=False,
            help="Show the version and exit.",
        )
    ],
    help="Moves a Carbon Billing's subscribers in bulk: each row's effect lands exactly once, whatever happens.",
    epilog=f"Begin with: {PROGRAM} demo, {PROGRAM} doctor, {PROGRAM} jobs",
)


def main() -> None:
    """The entry point: run the command and exit with its code, or with 2 where what it is there to print was lost."""
    _take_texts_as_utf8()
    set_reader(typed_language(sys.argv[1:], os.environ))
    product = next((COMMANDS[word].product for word in sys.argv[1:] if word in COMMANDS), Product.OUTPUT)
    with outputs() as stdout:
        try:
            with app.make_context(PROGRAM, sys.argv[1:]) as context:
                app.invoke(context)
            code: str | int = 0
        except SystemExit as ended:
            code = ended.code or 0
        except click.exceptions.Exit as ended:
            code = ended.exit_code
        except click.ClickException as error:
            show_usage_error(error)
            code = error.exit_code
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last line of defence
            from cli.commands.execution import exit_code
            from cli.terminal.screen import Screen

            code = exit_code(error, Screen(), sends=product is Product.RUN)
        finally:
            # The interpreter would look through everything once more before it ends.
            gc.freeze()
    if code == 0 and stdout.trouble is not None and product is Product.OUTPUT:
        from cli.terminal.exits import Exit

        code = Exit.REFUSED
    sys.exit(code)


def _take_texts_as_utf8() -> None:
    """Start anew with UTF-8 where the locale has only ASCII: no argument, setting or path could be Cyrillic there.

    The process remains the same, and so does the encoding of what it writes.
    """
    utf8 = ["-X", "utf8"]
    if sys.getfilesystemencoding() != "ascii" or sys.orig_argv[1:3] == utf8:
        return
    if not os.environ.get("PYTHONIOENCODING"):
        os.environ["PYTHONIOENCODING"] = "ascii:surrogateescape"
    with suppress(OSError):
        os.execv(sys.executable, [sys.executable, *utf8, *sys.orig_argv[1:]])  # noqa: S606 - this program itself
