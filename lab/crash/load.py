"""The load of an experiment: what is requested, and what is wanted of each of its rows."""

import csv
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Final

from billing.database.database import Database
from billing.database.dsn import Dsn
from jobs.imports.subscriber import Step
from jobs.spec.parameters import row_key
from lab.crash.import_table import (
    DICTIONARY,
    TABLE,
    RequestedImport,
    draw_rows,
    live_content,
    new_folders,
    step_key,
    stored_subscriber,
    write_table,
)
from lab.crash.plan import BALANCES, IMPORT, PAYMENT, WARNING_THRESHOLD, ExperimentPlan
from lab.crash.stranger import SUBSCRIBERS, Victim, change
from lab.crash.trials import ATTRIBUTE, CALLED, SERVICE, TRIALS, By, Trial, Wanted, sql
from lab.mock.facts import OPENING_BALANCE
from lab.mock.people import FOLDERS

INPUT: Final = "rows.csv"
FOLDER: Final = next(iter(FOLDERS))
"""The folder whose subscribers get another threshold."""
_OWED: Final = 0.08


@dataclass(frozen=True, slots=True)
class RequestedLoad:
    """The request of a load: the command with its arguments, and the wanted value of each key.

    `objects` has the ledger's key for each key, `last` is the last finance operation before the load. An import is
    judged by `imported`. `victims` are the rows that a stranger can get at, by their keys; `by_number` says that the
    rows name subscribers by their contract numbers.
    """

    arguments: tuple[str, ...]
    wanted: Mapping[str, Wanted]
    objects: Mapping[str, int]
    last: int = 0
    imported: RequestedImport | None = None
    victims: Mapping[str, Victim] = field(default_factory=dict)
    by_number: bool = False


def prepare_load(folder: Path, plan: ExperimentPlan, billing: Path) -> RequestedLoad:
    """The request of the load, by the plan's seed; its input file is written into `folder`."""
    draw = Random(f"{plan.seed}/input")
    if plan.job == IMPORT:
        with Database(Dsn(str(billing))) as database:
            return _import(folder, draw, plan, database)
    trial = plan.own or TRIALS[plan.job]
    if trial.arranged:
        # A new billing has too few of these rows.
        change(str(billing), [(trial.arranged, {"rows": plan.rows})])
    with Database(Dsn(str(billing))) as database:
        ((last,),) = database.query(sql("last_operation"))
        if plan.job == BALANCES:
            requested = _balances(folder, draw, database.query(sql("only_owners"), {"rows": plan.rows}))
        elif plan.job == WARNING_THRESHOLD:
            # The only job whose rows come from the database, by its own select.
            threshold = -Decimal(draw.randrange(300_00, 900_00)) / 100
            members = {str(key): of for key, of in database.query(sql("members"), {"folder": FOLDER})}
            arguments = ("run", "warning-threshold", "--set", f"folder={FOLDER}", "--set", f"amount={threshold:.2f}")
            requested = RequestedLoad(arguments, dict.fromkeys(members, threshold), members)
        else:
            requested = _rows(folder, draw, trial, database.query(sql(trial.rows), {"rows": plan.rows}))
        return replace(requested, last=last, victims=_victims(requested, trial, database))


def _victims(requested: RequestedLoad, trial: Trial, database: Database) -> dict[str, Victim]:
    """What a stranger has to know of the rows."""
    # What is created is told by its subscriber, what is changed by itself.
    by_subscriber = trial.by is By.MARK or trial.model in {"Abonents", "AttributeValues"} or trial.job == PAYMENT
    owners = {found: found for found in requested.objects.values()}
    if not by_subscriber:
        owners = {
            key: owner for model, key, owner in database.query(sql("owners_of")) if model.strip() == trial.model
        }
    own = {owners.get(found) for found in requested.objects.values()}
    others = [key for (key,) in database.query(sql("others")) if key not in own]
    return {
        key: Victim(
            key=key,
            subscriber=owners.get(found),
            other=others[place % len(others)],
            table=_DELETED.get("Abonents" if by_subscriber else trial.model, ""),
            object=found,
            creates=trial.creates,
            kind=trial.kind or _KINDS.get(trial.model, 0),
            value=requested.wanted[key],
        )
        for place, (key, found) in enumerate(requested.objects.items())
    }


_DELETED: Final = {"Abonents": "abonents", "Users": "users", "UsersUsluga": "users_usluga"}
_KINDS: Final = {"UsersUsluga": int(SERVICE), "AttributeValues": int(ATTRIBUTE)}


def _rows(folder: Path, draw: Random, trial: Trial, rows: Iterable[Sequence[object]]) -> RequestedLoad:
    wanted: dict[str, Wanted] = {}
    objects: dict[str, int] = {}
    with (folder / INPUT).open("w", encoding="utf-8", newline="") as stream:
        sheet = csv.writer(stream, delimiter=";")
        sheet.writerow(trial.header)
        for own, of, *cells in rows:
            key = trial.key(own)
            line = [*map(str, cells), *(cell(draw) for cell in trial.drawn)]
            sheet.writerow(line)
            text = trial.wanted(line)
            wanted[key] = Decimal(text) if trial.amount else text
            objects[key] = int(str(of))
    called = CALLED if trial.job == "call" else ()
    given = (word for one in trial.given for word in ("--set", one))
    return RequestedLoad(("run", trial.job, INPUT, *called, *given), wanted, objects)


def _balances(folder: Path, draw: Random, subscribers: Iterable[Sequence[object]]) -> RequestedLoad:
    by_id = draw.random() < 0.5  # noqa: PLR2004 - heads or tails
    wanted: dict[str, Wanted] = {}
    objects: dict[str, int] = {}
    with (folder / INPUT).open("w", encoding="utf-8-sig", newline="") as stream:
        sheet = csv.writer(stream, delimiter=";")
        sheet.writerow(["abonent_id" if by_id else "contract_number", "amount"])
        for subscriber, number in subscribers:
            amount = Decimal(draw.randrange(1, 300_000)) / 100
            key = row_key((str(subscriber), str(OPENING_BALANCE)))
            wanted[key] = amount = -amount if draw.random() < _OWED else amount
            objects[key] = int(str(subscriber))
            sheet.writerow([subscriber if by_id else number, f"{amount:.2f}".replace(".", ",")])
    return RequestedLoad(("run", "balances", INPUT), wanted, objects, by_number=not by_id)


def _import(folder: Path, draw: Random, plan: ExperimentPlan, database: Database) -> RequestedLoad:
    rows = list(write_table(folder, draw_rows(draw, plan.rows)))
    ((last,),) = database.query(sql("last_abonent"))
    good = {step_key(row.wanted.number, Step.SUBSCRIBER): row for row in rows if row.wanted is not None}
    subscribers = tuple(row.wanted for row in good.values() if row.wanted is not None)
    imported = RequestedImport(
        subscribers=subscribers,
        folders=new_folders(subscribers),
        faulty=len(rows) - len(subscribers),
        last=last,
        content=live_content(database),
        refusals=tuple(fault["text"] for fault in tomllib.loads(plan.faults).get("fault", ()) if "text" in fault),
    )
    victims = {
        key: Victim(key, None, 0, "", 0, creates=SUBSCRIBERS, cells=stored_subscriber(row))
        for key, row in good.items()
    }
    arguments = ("import", TABLE, "--dictionary", DICTIONARY)
    return RequestedLoad(arguments, imported.wanted, {}, imported=imported, victims=victims)
