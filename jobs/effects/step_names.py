"""The names of an import's steps: the keys by which they need each other, and what a subscriber is counted by.

folder/Дома/Новые     00777/subscriber/     00777/account/ivanov     00777/service/126     00777/balance/
"""

from collections.abc import Mapping
from typing import Final, TypeAlias

from checkpoints.records import Item
from jobs.access.payload import payload_of
from jobs.effects.subscribers_there import LOGIN
from jobs.imports.subscriber import FOLDER_ID, PATH, STEP_NAMES, Part, Step, Subscriber
from jobs.spec.parameters import row_key
from texts.said import said

DETAILS: Final[Mapping[Step, str]] = {
    Step.ACCOUNT: LOGIN,
    Step.SERVICE: "usluga_id",
    Step.ATTRIBUTE: "attribute_id",
}
"""The value that tells parts of one step apart."""

SUM: Final = "op_summa"
_TARIFF: Final = "tarif_id"

FolderName: TypeAlias = tuple[str, str]
"""How a row names its folder: by `FOLDER_ID` or by `PATH`, and that text, "" for the top."""


def folder_key(path: str) -> str:
    """The key of the item that creates a folder."""
    return row_key((Step.FOLDER, path))


def step_key(number: str, step: Step, detail: str = "") -> str:
    """The key of the item of a subscriber's step."""
    return row_key((number, step, detail))


def name_of_step(item: Item) -> str:
    """The step of an item and whose it is, for people."""
    return said("{step} of {whose}", step=STEP_NAMES[Step(payload_of(item).step)], whose=item.label)


def folder_name(subscriber: Subscriber) -> FolderName:
    """How the row names its folder."""
    part = subscriber.part(Step.FOLDER)
    if part is None:
        return PATH, ""
    return (FOLDER_ID, part.text(FOLDER_ID)) if part.text(FOLDER_ID) else (PATH, part.text(PATH))


def detail_of(part: Part) -> str:
    """The value that tells a part from others of its step, "" where there is one part alone."""
    return part.text(DETAILS[part.step]) if part.step in DETAILS else ""


def groups_of(subscriber: Subscriber) -> dict[str, str]:
    """What the subscriber is counted by in the reconciliation of a report."""
    person, tariff, balance = (subscriber.part(step) for step in (Step.SUBSCRIBER, Step.TARIFF, Step.BALANCE))
    named = {
        "folder": folder_name(subscriber)[1],
        "tariff": "" if tariff is None else tariff.text(_TARIFF),
        "operator": "" if person is None else person.text("operator_id"),
        "balance": "" if balance is None else balance.text(SUM),
    }
    return {name: text for name, text in named.items() if text}
