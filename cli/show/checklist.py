"""The checklist of `doctor`: each finding is shown at once, and kept for scripts."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.text import Text

from billing.errors import BillingError
from checkpoints.errors import JournalError
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.layout import Hanging, command, render
from cli.terminal.screen import Screen
from cli.terminal.texts import printable, rendered
from cli.terminal.waiting import waiting
from texts.said import said, text_of


@dataclass(slots=True)
class Checklist:
    """Shows each finding at once and keeps it for scripts; `version` is the billing's version."""

    screen: Screen
    version: str = ""
    bad: int = 0
    findings: list[Mapping[str, str]] = field(default_factory=list)
    settings: dict[str, Mapping[str, str | None]] = field(default_factory=dict)
    facts: list[Mapping[str, str | None]] = field(default_factory=list)

    def good(self, what: str, finding: str) -> None:
        """Show a check that passed."""
        self._keep(what, "good", finding)
        self._line(Text("✓", "green"), what, render(finding))

    def note(self, what: str, finding: str, then: str = "") -> None:
        """Show information that does not prevent a run; `then` is a command that helps."""
        self._keep(what, "note", f"{finding} {then}".strip())
        self._line(Text("!", "yellow"), what, render(finding))
        if then:
            self.screen.result(command(then))

    def wrong(self, what: str, finding: str) -> None:
        """Show a problem that prevents a run; `finding` says what to do."""
        self.bad += 1
        self._keep(what, "wrong", finding)
        head, *rest = rendered(finding).splitlines() or [""]
        self._line(Text("✗", "bold red"), what, render(head))
        for line in rest:
            self._line(Text(" "), "", render(line))

    def as_object(self) -> Mapping[str, object]:
        """The object of `--json`."""
        return {
            "checks": self.findings,
            "settings": self.settings,
            "facts": self.facts,
            "in_the_way": self.bad,
            "exit": int(Exit.REFUSED if self.bad else Exit.DONE),
        }

    def _keep(self, what: str, standing: str, finding: str) -> None:
        self.findings.append({"check": what, "standing": standing, "finding": finding})

    def _line(self, sign: Text, what: str, finding: Text) -> None:
        self.screen.result(Hanging(Text.assemble(sign, f" {printable(what):<12} "), finding))

    @contextmanager
    def trying(self, what: str) -> Iterator[None]:
        """Show an operator error as a problem, and continue with the next check."""
        try:
            with waiting(said("checking: {what}", what=what)):
                yield
        except (BillingError, JournalError, CommandRefused) as error:
            self.wrong(what, text_of(error))
