"""The factory of effects: from a job's spec to its effect, and to the effect that takes it back; and what it lacks.

An undo deletes created objects, creates deleted ones again, and sets fields back; for operations the undo's
parameters decide. Effects that do not follow from a chain have a name in the spec.

A lack is what a job cannot promise, for whoever declares a job of one's own: a fact of the call and no fault of the
file. Most of them mean that a person is asked in the end. None is stated a second time here: the effect that the
factory makes of the chain is asked.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from billing.directory.models import RECEIPT
from billing.selects.select import select_of
from checkpoints.records import Item, Run
from jobs.access.gateway import Gateway
from jobs.effects.any_call import AnyCallEffect
from jobs.effects.creatable_models import CREATABLE_MODELS, FOLDER_FLAG, SUBSCRIBERS, creatable_model
from jobs.effects.create import CreateEffect, renew
from jobs.effects.delete import DeleteEffect
from jobs.effects.effect import CallEffect
from jobs.effects.pay import PayEffect
from jobs.effects.read import ReadEffect, ReadOffersEffect
from jobs.effects.reverse import undo_of_operations
from jobs.effects.set_fields import SetFieldsEffect
from jobs.effects.set_password import SendRecoveryLetter, SetGeneratedPassword, SetGivenPassword, hand_over
from jobs.effects.subscriber_steps import SubscriberSteps
from jobs.rows.binding import ABONENT
from jobs.spec.chain import Hole, Template, parse
from jobs.spec.entries import ADD_PAYMENT, KEY, OPERATION, OPERATIONS, TELLING
from jobs.spec.errors import ParameterRefused
from jobs.spec.spec import (
    CREATE,
    DELETE,
    ChainKind,
    JobSpec,
    Special,
    kind_of,
    own_select,
    secret_placeholders,
    sets_fields,
)
from jobs.spec.words import WAY
from texts.said import reason, said, setting

YES: Final = "yes"

Finish: TypeAlias = Callable[[Run, Iterable[Item]], tuple[str, str]]
"""Completes what a run hands over, from its accepted items: a sentence on it, and one on what is missing of it."""


def finish_of(spec: JobSpec | None) -> Finish | None:
    """The last step of a job, run in a worker thread after all rows are sent; None without one.

    It runs before a run is resumed as well, and again if a finished one is. It raises `EngineError`.
    """
    return hand_over if spec is not None and spec.special is Special.GENERATED_PASSWORD else None


def effect_of(gateway: Gateway, spec: JobSpec, parameters: Mapping[str, str]) -> CallEffect:
    """The effect of a job, set up with its checked parameters. Raises `ParameterRefused`."""
    template = spec.template(parameters)
    if spec.special is not None:
        return _special(gateway, spec, template, parameters)
    look_up = parameters.get("look_up", "")
    for name in select_of(look_up).parameters if look_up else ():
        if name in secret_placeholders(template):
            # It would get the token instead.
            raise ParameterRefused(
                reason(
                    "look_up: :{name} is a secret, which no select is given: find the row by another",
                    "look_up",
                    name=name,
                )
            )
    match kind_of(template):
        case ChainKind.READS:
            return ReadEffect(gateway, template)
        case ChainKind.SETS_FIELDS:
            return SetFieldsEffect(gateway, template)
        case ChainKind.DELETES:
            return DeleteEffect(gateway, template, partial(undo_of_deleted, gateway, spec.model))
        case ChainKind.CREATES:
            _check_creation(template, parameters)
            own = {one.name for one in spec.parameters}
            return CreateEffect(
                gateway,
                template,
                partial(undo_of_created, gateway, spec.model),
                comment=parameters.get(spec.comment, ""),
                telling=[one.name for one in TELLING if one.name in own],
                exact=parameters.get(KEY.name, ""),
            )
        case _:
            repeatable = sets_fields(template) or parameters.get("repeatable") == YES
            return AnyCallEffect(gateway, template, repeatable=repeatable, look_up=look_up)


def _special(gateway: Gateway, spec: JobSpec, template: Template, parameters: Mapping[str, str]) -> CallEffect:
    """The effect of a job that does not follow from the methods of its chain."""
    second, receipt = spec.second_template, gateway.profile.receipt_type
    match spec.special:
        case Special.PAYMENT if parameters[WAY] == ADD_PAYMENT:
            return PayEffect(gateway, template)
        case Special.PAYMENT:
            if receipt.value != RECEIPT:
                template = parse(template.model, [OPERATION.replace("{op_type}", str(receipt.value))])
            # Payments of all ways and versions have the same keys.
            return CreateEffect(
                gateway,
                template,
                partial(undo_of_created, gateway, spec.model),
                comment=parameters[spec.comment],
                telling=[one.name for one in TELLING],
                exact=parameters[KEY.name],
                same=(ABONENT,),
            )
        case Special.OFFERS if second:
            return ReadOffersEffect(gateway, template, second)
        case Special.GIVEN_PASSWORD:
            return SetGivenPassword(gateway, template)
        case Special.GENERATED_PASSWORD if second:
            return SetGeneratedPassword(gateway, template, second, Path(parameters["to"]))
        case Special.RECOVERY_LETTER:
            return SendRecoveryLetter(gateway, template)
        case Special.IMPORT:
            return SubscriberSteps(gateway, change=parameters.get("change") == YES)
    raise ValueError(f"{spec.name} makes two calls, and its spec has one")


def _check_creation(template: Template, parameters: Mapping[str, str]) -> None:
    """Raise `ParameterRefused` if the new objects could not be recognised."""
    given = template.links[0].arguments
    kind = creatable_model(template.model, given)
    if isinstance(given.get(FOLDER_FLAG), Hole):
        raise ParameterRefused(
            "{method} of {model}: write {field} as 1 or 0, and not as a placeholder: folders and subscribers are "
            "found again in different ways",
            method=CREATE,
            model=template.model,
            field=FOLDER_FLAG,
        )
    if len(template.links) > 1:
        raise ParameterRefused(
            "{method} enters its {noun} by itself: leave out what stands behind it, {links}",
            method=CREATE,
            noun=kind.noun,
            links=" → ".join(template.text[1:]),
        )
    if missing := [name for name in (*kind.same, kind.amount) if name and name not in given]:
        raise ParameterRefused(
            "{method} of {model} has to say {missing}: by {same} a {noun} is told from others, so that none is "
            "entered twice",
            method=CREATE,
            model=template.model,
            missing=tuple(missing),
            same=kind.same,
            noun=kind.noun,
        )
    if told := [name for name in ("look_up", "repeatable") if parameters.get(name)]:
        raise ParameterRefused(
            "{flag}: nothing would look at it, for a {noun} is never entered twice, and is found again without "
            "it; leave it out",
            flag=setting(told[0].replace("_", "-")),
            noun=kind.noun,
        )


# ---- undo --------------------------------------------------------------------------------------------------------

_LOST_FOR_GOOD: Final[Mapping[str, str]] = {
    "Users": said(
        "a deleted account cannot be made again with its password and its history. What it was is kept: export "
        "the rows of the run, and make the accounts by hand from the column carbon_answer"
    ),
    SUBSCRIBERS: said(
        "a deleted subscriber cannot be made again with its money account and its history. What it was is kept: "
        "export the rows of the run, and create it anew from the column carbon_answer"
    ),
}


def undo_of_created(gateway: Gateway, model: str, how: Mapping[str, str]) -> CallEffect | str:
    """The effect that takes back created objects: operations as `how` says, all others by deletion."""
    if model == OPERATIONS:
        return undo_of_operations(gateway, how)
    template = parse(model, ('objects.get {"id": {id}}', DELETE))
    return DeleteEffect(gateway, template, partial(undo_of_deleted, gateway, model), yields=True)


def undo_of_deleted(gateway: Gateway, model: str, how: Mapping[str, str]) -> CallEffect | str:  # noqa: ARG001 - one way only
    if model in _LOST_FOR_GOOD or model not in CREATABLE_MODELS or model == OPERATIONS:
        return _LOST_FOR_GOOD.get(model, said("a deleted object of {model} cannot be made again", model=model))
    back = partial(undo_of_created, gateway, model)
    return CreateEffect(gateway, parse(model, (CREATE,)), back, taking_back=partial(renew, gateway, model))


# ---- what a job cannot promise, as its effect says ----------------------------------------------------------------


class LackKind(StrEnum):
    """What a job can lack."""

    LOOK_UP = "look-up"
    REPEATABLE = "repeatable"
    READ_BACK = "read-back"
    UNDO = "undo"
    SELECT = "select"


NEEDS_A_PERSON: Final = frozenset({LackKind.LOOK_UP, LackKind.READ_BACK, LackKind.UNDO})
"""The lacks for which a person has to look into the billing, sooner or later."""


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that a job cannot promise, and what that means for who runs it."""

    kind: LackKind
    text: str


def lacks_of(spec: JobSpec, gateway: Gateway) -> Iterator[Lack]:
    """What a job cannot promise; nothing is asked of the billing. Raises `ParameterRefused`."""
    effect = effect_of(
        gateway, spec, {one.name: one.name if one.default is None else one.default for one in spec.parameters}
    )
    back = effect.undo({one.name: one.default or "" for one in spec.undo_parameters})
    only_listed = spec.model == OPERATIONS and all(one.name != WAY for one in spec.undo_parameters)
    if spec.writes and not (effect.recognises or effect.repeatable):
        yield Lack(
            LackKind.LOOK_UP,
            said(
                "no look-up: where an answer is lost, nobody can find out whether the call had its effect. The "
                "row is left to a person, who looks into the billing. A parameter `look_up` with a select as its "
                "default helps, or `repeatable` with yes where a second call does no harm"
            ),
        )
    if spec.writes and not effect.repeatable:
        waits = said("not repeatable: a row whose answer is lost waits until it is looked up, never sent blindly")
        yield Lack(LackKind.REPEATABLE, waits)
    if spec.writes and not effect.recognises:
        unread = said("no read-back: `verify` cannot show that the billing has what was sent")
        yield Lack(LackKind.READ_BACK, unread)
    if spec.writes and isinstance(back, str):
        yield Lack(LackKind.UNDO, said("no undo: {reason}. Try it on a few rows first", reason=back))
    elif spec.writes and only_listed:
        yield Lack(
            LackKind.UNDO,
            said(
                "no undo that sends: operations are only listed for the accountant. UNDO_OF_OPERATIONS as "
                "undo_parameters gives the ways that send"
            ),
        )
    if not own_select(spec):
        none = said("no select of its own: its rows come from a file, or from a select that is typed")
        yield Lack(LackKind.SELECT, none)
