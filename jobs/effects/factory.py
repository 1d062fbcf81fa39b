"""Which effect takes back which: what was created is deleted, what was deleted is created anew.

Recipes name their effects here: `creations("AttributeValues", '{"abonent_id": {abonent_id}, …}')`.
"""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

from jobs.access.gateway import Gateway
from jobs.effects import reverse as reversals
from jobs.effects.creatable_models import CREATABLE_MODELS
from jobs.effects.create import CREATE, CreateEffect
from jobs.effects.delete import DELETE, DeleteEffect
from jobs.effects.effect import CallEffect, Irreversible
from jobs.effects.entered_operations import MODEL as OPERATIONS
from jobs.effects.recreate import renew
from jobs.spec.chain import parse
from jobs.spec.spec import MakeEffect

_LOST_FOR_GOOD: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Users": "a deleted account cannot be made again with its password and its history. What it was is kept: "
        "export the rows of the run, and make the accounts by hand from the column carbon_answer",
    }
)


def creations(model: str, arguments: str, *, comment: str = "") -> MakeEffect:
    """How a recipe says what it creates; `comment` is the parameter that becomes the comment, "" where none does."""
    template = parse(model, (f"{CREATE} {arguments}",))
    return lambda services, parameters: CreateEffect(
        services, template, partial(of_created, services, model), comment=parameters.get(comment, "")
    )


def deletions(model: str, get: str, delete: str = "{}") -> MakeEffect:
    """How a recipe says what it deletes."""
    template = parse(model, (f"objects.get {get}", f"{DELETE} {delete}"))
    return lambda services, _: DeleteEffect(services, template, partial(of_deleted, services, model))


def of_created(services: Gateway, model: str, how: Mapping[str, str]) -> CallEffect | Irreversible:
    """What takes back objects that were created: operations as `how` says, all else is deleted."""
    if model == OPERATIONS:
        return reversals.undo_of_operations(services, how)
    template = parse(model, ('objects.get {"id": {id}}', DELETE))
    return DeleteEffect(services, template, partial(of_deleted, services, model))


def of_deleted(services: Gateway, model: str, how: Mapping[str, str]) -> CallEffect | Irreversible:  # noqa: ARG001 - one way only
    """What makes deleted objects anew."""
    if model not in CREATABLE_MODELS or model == OPERATIONS:
        return Irreversible(_LOST_FOR_GOOD.get(model, f"a deleted object of {model} cannot be made again"))
    back = partial(of_created, services, model)
    return CreateEffect(services, parse(model, (CREATE,)), back, taking_back=partial(renew, services, model))
