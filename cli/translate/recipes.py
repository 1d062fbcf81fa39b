"""Which job of the catalogue does what a call does: told by its model, its methods and its arguments."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cli.translate.arguments import Template

_SET: Final = ("objects.get", "set", "save")
_CREATE: Final = ("objects.create",)
_FILTER: Final = ("objects.filter",)


@dataclass(frozen=True, slots=True)
class Recipe:
    """One recipe: `keys` are arguments that it has, `varying` the one that each row has a value of its own for."""

    job: str
    model: str
    methods: tuple[str, ...]
    keys: frozenset[str] = frozenset()
    varying: str = ""


def _recipe(job: str, model: str, methods: tuple[str, ...], *keys: str, varying: str = "") -> Recipe:
    return Recipe(job, model, methods, frozenset(keys), varying)


RECIPES: Final = (
    _recipe("balances", "FinanceOperations", _CREATE, "abonent_id", "op_summa"),
    _recipe("tariff-threshold", "AdminAccounts", _SET, "limit_warning", varying="limit_warning"),
    _recipe("warning-threshold", "AdminAccounts", _SET, "limit_warning"),
    _recipe("cutoff-limit", "AdminAccounts", _SET, "limit"),
    _recipe("snat-pool", "Users", _SET, "snat_pull"),
    _recipe("ip-pool", "Users", _SET, "ip", "pull"),
    _recipe("connect-service", "UsersUsluga", _CREATE, "abonent_id", "usluga_id"),
    _recipe("administrators", "DjangoUsersProfile", _FILTER),
    _recipe("services-on-offer", "Users", ("objects.get", "get_or_create_dynamic_session")),
    _recipe("services-on-offer", "Users", ("web_cabinet.get_usluga_list",)),
    _recipe("delete-services", "UsersUsluga", ("objects.get", "delete")),
    _recipe("password", "Users", ("objects.get", "set_password")),
    _recipe("random-password", "Users", ("objects.get", "save")),
    _recipe("password-recovery", "Users", ("web_cabinet.reset_password",)),
    _recipe("operator", "Abonents", _SET, "operator_id"),
    _recipe("session-account", "Users", ("get_user_by_suid",)),
    _recipe("at-ip", "Users", _FILTER, "ip"),
    _recipe("block-history", "AbonentsBlockHistory", _SET, "time_changed"),
    _recipe("recalculate", "Abonents", _SET, "need_recalc"),
    _recipe("by-sms", "Abonents", _FILTER, "sms"),
    _recipe("delete-account", "Users", ("objects.get", "delete")),
    _recipe("service-operator", "Usluga", _SET, "operator_id"),
    _recipe("next-charge", "UsersUsluga", _SET, "next_date"),
    _recipe("tariff-next", "Abonents", _SET, "tarif_next_id"),
    _recipe("tariff-now", "Abonents", _SET, "tarif_id"),
    _recipe("payment", "Abonents", ("objects.get", "add_payment")),
    _recipe("voluntary-block", "Abonents", _SET, "own_disabled_start"),
    _recipe("attribute", "AttributeValues", _CREATE, "attribute_id"),
    _recipe("passed-to-1c", "FinanceOperations", _SET, "sync1c"),
)


def job_for(model: str, methods: Sequence[str], templates: Sequence[Template]) -> str | None:
    """The job that does what a call does, None where no recipe is known."""
    found = (recipe for recipe in RECIPES if recipe.model == model and recipe.methods == tuple(methods))
    return next((recipe.job for recipe in found if _fits(recipe, templates)), None)


def _fits(recipe: Recipe, templates: Sequence[Template]) -> bool:
    # Behind objects.get its arguments are only the key that finds the object.
    own = templates[1:] if recipe.methods[0] == "objects.get" else templates
    keys = {key for one in own for key in one.keys}
    varying = {key for one in own for key in one.varying}
    return recipe.keys <= keys and (not recipe.varying or recipe.varying in varying)
