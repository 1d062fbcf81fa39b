"""The names of rows and their states, of stages, and of what holds a run, as people read them.

Scripts, files and the journal have the words of `State` and `Holds` themselves.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final, NamedTuple

from billing.profile import Standing
from checkpoints.records import Item, Reason, Refusal, Totals
from checkpoints.sentences import (
    ANOTHER_COUNTS,
    AS_WANTED,
    DUPLICATE,
    ENTERED,
    NEEDS_NONE,
    NOTHING_STANDS,
    READ_OTHERWISE,
    is_held_back,
)
from checkpoints.sentences import LEFT_OUT as SUM_ENTERED
from checkpoints.states import State
from checkpoints.tally import ALL_OTHERS, NOTHING, TallyGroup, TallyKind
from cli.terminal.texts import printable
from engine.pacing.holds import BARRIER, BILLING, IN_DOUBT, PAUSED
from engine.pacing.throttle import HOURS
from texts.said import Said, counted, heading, said

_STATES: Final = {
    State.PENDING: (said("pending"), said("to be sent")),
    State.SKIPPED: (said("skipped"), said("skipped")),
    State.SENDING: (said("sending"), said("being sent, without an answer yet")),
    State.ACCEPTED: (said("accepted"), said("accepted, not read back")),
    State.REJECTED: (said("rejected"), said("rejected by the billing")),
    State.UNCONFIRMED: (said("unconfirmed"), said("in doubt: rejected, to be looked up")),
    State.UNKNOWN: (said("unknown"), said("in doubt: to be looked up")),
    State.MANUAL: (said("manual"), said("in doubt: a person decides")),
    State.APPLIED: (said("applied"), said("applied: read back as sent")),
    State.REPLACED: (said("replaced"), said("rejected, and replaced by a corrected row")),
}
STATE_NAMES: Final[Mapping[State, Said]] = {state: name for state, (name, _) in _STATES.items()}
OUTCOMES: Final[Mapping[State, Said]] = {state: outcome for state, (_, outcome) in _STATES.items()}
"""What became of the rows in a state, as a report says it."""

_ENTERED_ALREADY: Final = said("skipped: entered already")
_NOTHING_STANDS: Final = said("skipped: nothing of it stands")
SKIPPED_AS: Final[Mapping[str, Said]] = {
    ENTERED: _ENTERED_ALREADY,
    SUM_ENTERED: _ENTERED_ALREADY,
    AS_WANTED: said("skipped: already as wanted"),
    ANOTHER_COUNTS: said("skipped: another row of the account counts"),
    DUPLICATE: said("skipped: a duplicate in the input"),
    NEEDS_NONE: said("skipped: nothing to enter"),
    **dict.fromkeys(NOTHING_STANDS - {AS_WANTED}, _NOTHING_STANDS),
}
"""What skipped rows are called in a report, by the code of their reason: only what is entered is called so."""

NOT_AS_SENT: Final = said("accepted, and not as sent when read back")
"""Rows in the state `accepted` that the billing did not show as they were sent."""

NEVER_SENT: Final = said("never sent")
"""Rows in the state `pending` of a run that has ended for good."""


def state_names(names: Mapping[State, Said] = STATE_NAMES, *, has_ended: bool) -> Mapping[State, Said]:
    """What the rows of runs are called by their state, of which all have ended for good or not."""
    return {**names, State.PENDING: NEVER_SENT} if has_ended else names


HELD_BACK: Final = said("held back")
"""Rows in the state `rejected` that the program itself has kept from being sent."""


class Outcome(NamedTuple):
    """The items of a run of which the same became, as people count them."""

    state: State
    rows: int
    amount: Decimal


def outcomes_of(
    totals: Totals, names: Mapping[State, Said] = STATE_NAMES, *, has_ended: bool | None = None
) -> dict[Said, Outcome]:
    """What became of the items of a run, by its name; what was held back is none of the rejected ones.

    `has_ended` tells whether all runs beside which it is shown have ended for good; by default it stands alone.
    """
    held, found = totals.held_back, dict[Said, Outcome]()
    names = state_names(names, has_ended=totals.has_ended if has_ended is None else has_ended)
    for state in filter(totals.count, State):
        of_it, amount = held if state is State.REJECTED else NOTHING, totals.amounts.get(state, Decimal(0))
        if rows := totals.count(state) - of_it.rows:
            found[names[state]] = Outcome(state, rows, amount - of_it.amount)
        if of_it.rows:
            found[HELD_BACK] = Outcome(state, of_it.rows, of_it.amount)
    return found


def name_of_state(state: State, rows: int, held_back: int, *, has_ended: bool = False) -> Said:
    """The state of so many items together, of which so many were held back, if it is `rejected`."""
    if state is not State.REJECTED or not held_back:
        return state_names(has_ended=has_ended)[state]
    return HELD_BACK if held_back == rows else said("rejected or held back")


def name_of_outcome(state: State, kind: str, names: Mapping[State, Said] = OUTCOMES) -> Said:
    """What became of a row, by its state and the kind of its reason."""
    if state is State.SKIPPED and names is OUTCOMES:
        return SKIPPED_AS.get(kind, names[state])
    if kind == READ_OTHERWISE:
        return NOT_AS_SENT
    return HELD_BACK if state is State.REJECTED and is_held_back(kind) else names[state]


REFUSED: Final = said("refused")
"""Rows of the input that never became part of the run."""

LEFT_OUT: Final = said("left out")
"""Rows that a flag leaves out."""

STAGE_NAMES: Final[Mapping[str, Said]] = {
    str(stage): stage
    for stage in (
        said("running"),
        said("stopped"),
        said("done"),
        said("closed"),
        said("taken back"),
        said("purged"),
        said("given up"),
        said("reading, stopped"),
        said("not approved"),
    )
}
"""The stages of a run, by the words that scripts get."""

STANDING_NAMES: Final[Mapping[Standing, Said]] = {
    Standing.KNOWN: said("known"),
    Standing.DOCUMENTED: said("documented"),
    Standing.ASSUMED: said("assumed"),
}
"""How well a fact of the billing is known."""

_KINDS: Final[Mapping[TallyKind, tuple[Said, Said, Callable[[int], Said]]]] = {
    TallyKind.FOLDER: (said("folder"), said("no folder"), lambda n: counted("{n} folder[s]", n)),
    TallyKind.TARIFF: (said("tariff"), said("no tariff"), lambda n: counted("{n} tariff[s]", n)),
    TallyKind.OPERATOR: (
        said("operator"),
        said("no operator"),
        lambda n: counted("{n} operator[s]", n),
    ),
}
TALLY_KINDS: Final[Mapping[TallyKind, Said]] = {kind: name for kind, (name, *_) in _KINDS.items()}
"""What the subscribers of an import are counted by."""

_HOLDERS: Final[Mapping[str, Said]] = {
    IN_DOUBT: said("earlier calls"),
    PAUSED: said("paused"),
    BILLING: said("billing"),
    BARRIER: said("barrier"),
    HOURS: said("hours"),
}


def name_of_holder(who: str) -> str:
    """What holds a run, by its word in `Holds`; a gauge has the name that it was given."""
    return _HOLDERS.get(who, who)


_NOTES: Final[Mapping[str, Said]] = {
    "last-line": said("last line of the input"),
    "worker": said("left by a worker"),
    "pause": said("pause"),
    "continue": said("continue"),
    "continue-now": said("continue at once"),
    "stop": said("stop"),
}


def name_of_command(command: str) -> str:
    """A command as the journal notes it: what was typed, or in words what else has happened to the run."""
    _, mark, flags = command.partition("taken up with ")
    word = "-".join(command.partition("=")[0].split())
    return said("taken up with {flags}", flags=flags) if mark else _NOTES.get(word, command)


def reason_of_refusal(refusal: Refusal) -> str:
    """Why a row of the input was refused, behind the name of the column in which that was found."""
    why = refusal.reason
    return said("{column}: {why}", column=refusal.column, why=why) if refusal.column else why


def heading_of(reason: Reason) -> str:
    """What several rows with a reason are headed by, in the reader's language."""
    return heading(printable(reason.example))


def place_of(item: Item) -> Said:
    """The place of a row: its line of a file; the rows of a query have no lines, but their numbers in the run."""
    return said("line {line}", line=item.line) if item.line else said("row {number}", number=item.number)


def name_of_group(group: TallyGroup) -> str:
    """The folder, tariff or operator of a group: what the billing calls it, with its id; of several their number."""
    if group.key == ALL_OTHERS:
        return groups_in_words(group.kind, group.groups)
    if not group.key:
        return _KINDS[group.kind][1]
    if not group.name:
        return said("{path} (not in the billing)", path=printable(group.key, 60))
    return said("{name} ({id})", name=printable(group.name, 60), id=group.key)


def title_of_group(group: TallyGroup) -> str:
    name = name_of_group(group)
    if group.key in {"", ALL_OTHERS}:
        return name
    return said("{kind} {name}", kind=TALLY_KINDS[group.kind], name=name)


def groups_in_words(kind: TallyKind, number: int) -> Said:
    return _KINDS[kind][2](number)
