"""A guard against the unusual, `--like-last 50%`: a load that is unlike the last one of its job is asked about."""

from decimal import Decimal
from pathlib import Path
from typing import Final

from checkpoints.journal import Journal
from checkpoints.records import Run
from checkpoints.states import states_where
from cli.session.journal import unfinished
from cli.show.preview import PreviewFacts, number_and_sum, typed_without
from jobs.rows.input import input_of_parameters
from jobs.spec.words import SINCE
from texts.remedies import command_line
from texts.said import Said, percent, said

_HUNDRED: Final = Decimal(100)
_IN_EFFECT: Final = states_where(in_effect=True)


async def unlike_last(run: Run, plan: PreviewFacts, journal: Journal, share: Decimal) -> Said | None:
    """How a load differs from the last one of its job by more than this share, in percent; None where it does not.

    The last one is that for the same billing which is at its end and stands, of all rows of its file; a delta is
    compared with deltas.
    """
    for one in reversed(await journal.runs()):
        if (one.job, one.target, SINCE in one.parameters) != (run.job, run.target, SINCE in run.parameters):
            continue
        if one.run_id >= run.run_id or not one.approved_at or one.undone_by or await unfinished(one, journal):
            continue
        totals = await journal.totals(one)
        rows, amount = totals.count(*_IN_EFFECT), totals.amount_of(*_IN_EFFECT)
        if not rows or totals.left_out:
            continue
        if not (_is_apart(plan.to_send, rows, share) or _is_apart(plan.sum, amount, share)):
            return None
        return said(
            "this load is of {now}, and the last one of the job, {run} of {date}, was of {then}: more than {share} "
            "apart",
            now=number_and_sum(plan.to_send, plan.sum if plan.has_amounts else None),
            then=number_and_sum(rows, amount if plan.has_amounts else None),
            run=one.name,
            date=one.created_at,
            share=percent(share),
        )
    return None


def all_the_same(run: Run) -> str:
    """What was typed, with the guard taken off, as it can be typed in any folder."""
    file = input_of_parameters(run.parameters).file
    words = [
        file if file and Path(word).absolute() == Path(file).absolute() else word
        for word in typed_without("--like-last")
    ]
    return command_line(*words, "--like-last", "none")


def _is_apart(now: int | Decimal, then: int | Decimal, share: Decimal) -> bool:
    return abs(Decimal(now) - then) * _HUNDRED > share * abs(Decimal(then))
