"""The conditions that reads and writes of a run check in their own transaction, so that nothing comes in between."""

from pathlib import Path
from typing import NoReturn

from checkpoints import rows
from checkpoints.errors import RunHeld, RunPurged, RunTakenOver
from checkpoints.queries import Queries
from checkpoints.records import Run


def check_epoch(db: Queries, run: Run) -> None:
    """Raise `RunTakenOver` if another process has taken the run up since `run` was taken up or read."""

    def refuse(other_epochs: int) -> None:
        if not other_epochs:
            return
        holder = rows.to_holder(db.first("new_owner", run_id=run.run_id))
        raise RunTakenOver(
            "run {run} was taken over by {holder}. This process sends and records nothing more; what it had in "
            "flight is looked up there",
            run=run.name,
            holder=holder.sentence,
        )

    db.check("taken_over", refuse, run_id=run.run_id, epoch=run.epoch)


def refuse_held(db: Queries, run_id: int) -> None:
    """Raise `RunHeld` for a run of a whole journal that is in use, with its name and its holder's."""
    holder = rows.to_holder(db.first("holder", run_id=run_id))
    names = {row["run_id"]: row["name"] for row in db.each("runs")}
    raise RunHeld("another process works on run {run}: {holder}", run=names.get(run_id, "?"), holder=holder.sentence)


def refuse_conversion(journal: str | Path) -> NoReturn:
    """Raise `RunHeld` for a journal of an earlier format, of which a run is worked on."""
    raise RunHeld(
        "a run of {path} is worked on by an earlier carbon-migrate, under whose hands the journal would be "
        "converted: wait until it has ended, or stop it there",
        path=journal,
    )


def refuse_purged(db: Queries, run_id: int) -> None:
    """Raise `RunPurged` for a run whose rows have no content any more."""
    found = db.first("purged", run_id=run_id)
    if found is not None:
        raise RunPurged(found["name"], found["purged_at"])
