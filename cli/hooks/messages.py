"""The messages of hooks: one JSON object for each event, with a sentence for people in their language."""

import socket
from collections.abc import Mapping
from datetime import datetime
from typing import TypeAlias

from checkpoints.records import Run
from cli.session.events import FileEnded, Held, NeedsPerson, RunBegan, RunEnded, describe_exit, describe_outcome
from cli.session.step_mark import mark_of
from cli.settings.hooks import HookEvent
from cli.show.closing import closing_object, states_object
from cli.terminal.badge import badge_of
from cli.terminal.texts import WHOLE, duration, printable
from texts.said import Language, Said, counted, said

Message: TypeAlias = Mapping[str, object]


class HookMessages:
    """Makes the messages of one run; `text` is in the language of whoever reads it, all else is the same in each."""

    def __init__(self, run: Run, journal: str, language: Language) -> None:
        self._run = run
        self._journal = journal
        self._language = language

    def start(self, event: RunBegan) -> Message:
        """Sending begins, or goes on."""
        left = event.totals.count_where(open=True)
        text = (
            counted(
                "run {run} ({job}) goes on: {n} row to send",
                "run {run} ({job}) goes on: {n} rows to send",
                left,
                **self._names,
            )
            if event.taken_up
            else counted(
                "run {run} ({job}) begins: {n} row to send",
                "run {run} ({job}) begins: {n} rows to send",
                left,
                **self._names,
            )
        )
        facts = {"taken_up": event.taken_up, **states_object(event.totals)}
        return self._message(HookEvent.START, event.at, text, facts)

    def hold(self, event: Held, seconds: float) -> Message:
        """The run has been held for so many seconds."""
        text = said(
            "run {run} ({job}) has been held for {time}: {why}",
            time=duration(seconds),
            why=event.why,
            **self._names,
        )
        facts = {"cause": event.who, "why": event.why, "since": _moment(event.at), "seconds": seconds}
        return self._message(HookEvent.HOLD, event.at, text, facts)

    def person(self, event: NeedsPerson) -> Message:
        """A person has to look."""
        text = said("run {run} ({job}) needs you: {why}", why=event.why, **self._names)
        facts = {"rows": event.rows, "why": event.why, "commands": list(event.commands)}
        return self._message(HookEvent.PERSON, event.at, text, facts)

    def end(self, event: RunEnded) -> Message:
        """The run has ended in this process: what `--json` says of it, too."""
        closing = event.closing
        text = said("run {run} ({job}) has ended: {outcome}", outcome=describe_outcome(closing), **self._names)
        return self._message(HookEvent.END, event.at, text, closing_object(closing))

    def end_of_file(self, event: FileEnded) -> Message:
        """The job file of the run has ended after it: what `--json` says of the file, too."""
        mark, closing = mark_of(self._run), event.closing
        text = said(
            "job file {file} has ended after step {number} of {steps}: {outcome}",
            file=printable(mark.file if mark else self._run.source, WHOLE),
            number=mark.number if mark else 1,
            steps=mark.steps if mark else 1,
            outcome=describe_exit(closing),
        )
        return self._message(
            HookEvent.END, event.at, text, {**closing_object(closing), "run": self._run.name, "job": self._run.job}
        )

    @property
    def _names(self) -> dict[str, str]:
        return {"run": self._run.name, "job": self._run.job}

    def _message(self, event: HookEvent, at: datetime, text: Said, facts: Mapping[str, object]) -> Message:
        mark = mark_of(self._run)
        return {
            "event": str(event),
            "text": self._language.render(text),
            "at": _moment(at),
            "run": self._run.name,
            "job": self._run.job,
            "source": self._run.source,
            "billing": self._run.target,
            "profile": None if (badge := badge_of(self._run.parameters)) is None else badge.as_object(),
            "journal": self._journal,
            "host": socket.gethostname(),
            "job_file": mark and {"file": mark.file, "round": mark.round, "step": mark.number, "steps": mark.steps},
            **facts,
        }


def _moment(when: datetime) -> str:
    return when.isoformat(timespec="seconds")
