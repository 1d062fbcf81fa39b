"""The words of the page by their keys; `cli/page/static/` names the keys, the server renders them for the reader.

A {name} in a sentence is filled in by the browser: it knows the figures, and how the reader's language writes them.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from texts.said import Said, said

LABELS: Final[Mapping[str, Said]] = MappingProxyType(
    {
        "language": said("Language"),
        "theme": said("Colours"),
        "theme.auto": said("as the system"),
        "theme.light": said("light"),
        "theme.dark": said("dark"),
        # What stands above everything else.
        "stage.silent": said("nobody works on it"),
        "stage.paused": said("paused"),
        "stage.held": said("waiting"),
        "lost": said(
            "No connection to the page's server: the figures are those of {since}. The page tries again by itself.",
            since="{since}",
        ),
        "lost.list": said("No connection to the page's server. The page tries again by itself."),
        "silent": said("Nobody works on this run. To take it up: {command}", command="{command}"),
        "silent.since": said(
            "Nobody works on this run since {since}. To take it up: {command}", since="{since}", command="{command}"
        ),
        "paused": said("Paused since {since} by {by}.", since="{since}", by="{by}"),
        # Who, what, since when, which billing.
        "fact.who": said("Begun by"),
        "fact.what": said("Rows from"),
        "fact.since": said("Since"),
        "fact.billing": said("Billing"),
        "fact.process": said("works: process {process} on {host}", process="{process}", host="{host}"),
        "fact.passed": said("{duration} ago", duration="{duration}"),
        "fact.version": said("version {version}", version="{version}"),
        # The figures.
        "figures": said("Figures"),
        "accepted": said("Accepted"),
        "of_rows": said("of {rows} rows, {percent}", rows="{rows}", percent="{percent}"),
        "of_steps": said("of {rows} steps, {percent}", rows="{rows}", percent="{percent}"),
        "of_sum": said("of {sum}", sum="{sum}"),
        "in_doubt": said("In doubt"),
        "rejected": said("Rejected"),
        "refused": said("refused before sending"),
        "pace": said("Calls a second"),
        "in_flight": said("in parallel: {calls} of {window}", calls="{calls}", window="{window}"),
        "pace.unknown": said("not known here"),
        "left": said("Time left"),
        "left.until": said("until about {time}", time="{time}"),
        "spoken": said("Accepted: {percent}.", percent="{percent}"),
        "why": said("Why it is not faster"),
        "why.nothing": said("Nothing slows it down."),
        "charts": said("The last fifteen minutes"),
        "chart.rate": said("Speed"),
        "chart.latency": said("Answer time"),
        "chart.line.rate": said("calls a second"),
        "chart.line.window": said("in parallel up to"),
        "chart.line.p50": said("half within"),
        "chart.line.p95": said("95 % within"),
        "errors": said("Errors by kind"),
        "errors.none": said("No errors."),
        "errors.rows": said("Rows"),
        "errors.text": said("Error, with an example"),
        # Steering.
        "control": said("Control"),
        "control.read_only": said("This page only shows: it was opened as read-only."),
        "control.silent": said("Only a run that somebody works on can be stopped or set."),
        "pause": said("Pause"),
        "continue": said("Continue"),
        "stop": said("Stop"),
        "stop.question": said("Stop run {run}?", run="{run}"),
        "stop.what": said("Calls that are under way are waited for, and no further ones are made. No row is lost."),
        "stop.resume": said("To take it up again: {command}", command="{command}"),
        "stop.yes": said("Stop the run"),
        "stop.no": said("Let it run"),
        "setting.rate": said("Calls a second, at most"),
        "setting.rate.hint": said("no limit"),
        "setting.in_flight": said("Parallel calls"),
        "setting.in_flight.hint": said("automatic"),
        "setting.hours": said("Hours (01:00-06:00)"),
        "setting.hours.hint": said("at all hours"),
        "set": said("Apply"),
        "answer.lost": said(
            "No connection to the page's server: whether the command was taken is not known. See what the run does."
        ),
        "commands": said("Commands to this run"),
        "commands.none": said("None so far."),
        "commands.earlier": said("Earlier ones: {n}", n="{n}"),
        # The end, and all runs.
        "closing": said("The run has ended"),
        "report": said("Report"),
        "runs": said("All runs"),
        "runs.link": said("← All runs"),
        "runs.none": said("This journal has no runs yet."),
        "runs.run": said("Run"),
        "runs.billing": said("Billing"),
        "runs.every": said("All billings"),
        "runs.stage": said("Stage"),
        "runs.begun": said("Begun"),
        "runs.rows": said("Rows accepted"),
        "runs.sum": said("Sum accepted"),
        "runs.pace": said("Rows a second"),
        "runs.of": said("of {whole}", whole="{whole}"),
        "runs.left": said("{duration} left", duration="{duration}"),
        "runs.more": said("Runs that are not shown here: {n}. `carbon-migrate status` shows all.", n="{n}"),
        "tunnel": said("From another computer"),
        "tunnel.how": said("This page is served to this machine alone. Type there, then open the same address:"),
    }
)
