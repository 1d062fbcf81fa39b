"""Jobs for subscribers and their accounts: pools, thresholds, operator, tariff, recalculation, blocks, deletion."""

from collections.abc import Mapping
from typing import Final

from jobs.spec.parameters import (
    ACCOUNT,
    FOLDER,
    SUBSCRIBER,
    Parameter,
    a_date,
    a_moment,
    an_id,
    first_of_a_month,
    roubles,
    today,
)
from jobs.spec.spec import JobSpec
from texts.said import said

SNAT_POOL: Final = JobSpec(
    name="snat-pool",
    recipes=(6,),
    summary=said("move the accounts of a folder's subscribers to a pool of SNAT addresses"),
    model="Users",
    chain=('objects.get {"id": {user_id}}', 'set {"snatip": "", "snat_pull": "{pool}"}', "save"),
    select="users_of_folder",
    parameters=(
        FOLDER,
        *ACCOUNT,
        Parameter("pool", said("id of the pool"), parse=an_id, columns=("snat_pull",), refers_to="SnatPool"),
    ),
    example="carbon-migrate run snat-pool --set folder=1000 --set pool=1030",
)

IP_POOL: Final = JobSpec(
    name="ip-pool",
    recipes=(7,),
    summary=said("move accounts to a pool of addresses, and let the billing issue a new one to each"),
    model="Users",
    chain=('objects.get {"id": {user_id}}', 'set {"ip": "", "pull": "{pool}"}', "save"),
    select="users_of_folder",
    parameters=(
        FOLDER,
        *ACCOUNT,
        Parameter("pool", said("id of the pool"), parse=an_id, columns=("pull",), refers_to="Pool"),
    ),
    example="carbon-migrate run ip-pool --set user_id=324 --set pool=6",
)

USERS: Final = (SNAT_POOL, IP_POOL)

_YES: Final = "yes"


def _delete_account(parameters: Mapping[str, str]) -> tuple[str, ...]:
    cleaned = parameters["clean_links"] == _YES
    return ('objects.get {"id": {user_id}}', 'delete {"clean_links": true}' if cleaned else "delete")


DELETE_ACCOUNT: Final = JobSpec(
    name="delete-account",
    recipes=(22,),
    summary=said("delete accounts; their subscribers stay"),
    model="Users",
    chain=_delete_account,
    select="users_of_folder",
    parameters=(
        FOLDER,
        *ACCOUNT,
        Parameter(
            "clean_links",
            said(
                "yes deletes first what points to an account, as its sessions; no leaves an account that is pointed "
                "to"
            ),
            _YES,
            (_YES, "no"),
        ),
    ),
    example="carbon-migrate run delete-account accounts.csv",
    undo=said("none: what the accounts were is kept, and is in the column carbon_answer of an export"),
)


_GET_ACCOUNT: Final = 'objects.get {"account_id_abonents": {abonent_id}}'

WARNING_THRESHOLD: Final = JobSpec(
    name="warning-threshold",
    recipes=(3,),
    summary=said("set the warning threshold of a folder's subscribers"),
    model="AdminAccounts",
    chain=(_GET_ACCOUNT, 'set {"limit_warning": "{amount}"}', "save"),
    select="of_folder",
    parameters=(
        FOLDER,
        *SUBSCRIBER,
        Parameter("amount", said("the threshold in roubles, as -120"), parse=roubles, columns=("limit_warning",)),
    ),
    example="carbon-migrate run warning-threshold --set folder=1316 --set amount=-120",
)

TARIFF_THRESHOLD: Final = JobSpec(
    name="tariff-threshold",
    recipes=(4,),
    summary=said("set the warning threshold as in the tariff, where it differs"),
    model="AdminAccounts",
    chain=(_GET_ACCOUNT, 'set {"limit_warning": "{amount}"}', "save"),
    varying="limit_warning",
    select="tariff_thresholds",
    parameters=(
        *SUBSCRIBER,
        Parameter("amount", said("the threshold in roubles"), parse=roubles, columns=("limit_warning",)),
    ),
    example="carbon-migrate run tariff-threshold",
)

CUTOFF_LIMIT: Final = JobSpec(
    name="cutoff-limit",
    recipes=(5,),
    summary=said(
        "set the cut-off limit of a folder's subscribers to the sum of their tariff's services, plus one rouble"
    ),
    model="AdminAccounts",
    chain=(_GET_ACCOUNT, 'set {"limit": "{amount}"}', "save"),
    select="tariff_sums",
    parameters=(
        FOLDER,
        *SUBSCRIBER,
        Parameter("amount", said("the limit in roubles"), parse=roubles, columns=("limit",)),
    ),
    example="carbon-migrate run cutoff-limit --set folder=89",
)

ACCOUNTS: Final = (WARNING_THRESHOLD, TARIFF_THRESHOLD, CUTOFF_LIMIT)


_GET: Final = 'objects.get {"id": {abonent_id}}'

OPERATOR: Final = JobSpec(
    name="operator",
    recipes=(15,),
    summary=said("move subscribers to another operator"),
    model="Abonents",
    chain=(_GET, 'set {"operator_id": {operator}}', "save"),
    select="of_operator",
    parameters=(
        Parameter("from", said("id of the operator that they are with"), "", parse=an_id, refers_to="Operator"),
        *SUBSCRIBER,
        Parameter(
            "operator",
            said("id of the operator that they are moved to"),
            parse=an_id,
            refers_to="Operator",
            columns=("operator_id",),
        ),
    ),
    example="carbon-migrate run operator --set from=3 --set operator=1444",
)

RECALCULATE: Final = JobSpec(
    name="recalculate",
    recipes=(20,),
    summary=said("recalculate subscribers from the first of a month, six months back at most"),
    model="Abonents",
    chain=(_GET, 'set {"need_recalc": "{since}"}', "save"),
    parameters=(
        *SUBSCRIBER,
        Parameter(
            "since",
            said("the first of a month, as 2019-06-01"),
            parse=first_of_a_month(today),
            columns=("need_recalc",),
        ),
    ),
    example="carbon-migrate run recalculate subscribers.csv",
    undo=said("none: recalculate again, once what was wrong is put right"),
)

TARIFF_NEXT: Final = JobSpec(
    name="tariff-next",
    recipes=(25,),
    summary=said("plan a change of tariff for a date"),
    model="Abonents",
    chain=(_GET, 'set {"tarif_next_id": {tariff}, "tarif_next_date": "{date}"}', "save"),
    parameters=(
        *SUBSCRIBER,
        Parameter(
            "tariff",
            said("id of the next tariff"),
            parse=an_id,
            refers_to="Tarif",
            columns=("tarif_next_id", "tarif_id"),
        ),
        Parameter("date", said("from when it counts"), parse=a_date, columns=("tarif_next_date",)),
    ),
    example="carbon-migrate run tariff-next subscribers.csv --set tariff=7 --set date=2020-09-01",
)

TARIFF_NOW: Final = JobSpec(
    name="tariff-now",
    recipes=(26,),
    summary=said("change the tariff at once"),
    model="Abonents",
    chain=(_GET, 'set {"tarif_id": {tariff}}', "save"),
    parameters=(
        *SUBSCRIBER,
        Parameter("tariff", said("id of the tariff"), parse=an_id, refers_to="Tarif", columns=("tarif_id",)),
    ),
    example="carbon-migrate run tariff-now subscribers.csv --set tariff=7",
)

VOLUNTARY_BLOCK: Final = JobSpec(
    name="voluntary-block",
    recipes=(28,),
    summary=said("block subscribers at their own wish, from one day to another"),
    model="Abonents",
    chain=(_GET, 'set {"own_disabled_start": "{start}", "own_disabled_end": "{end}"}', "save"),
    parameters=(
        *SUBSCRIBER,
        Parameter("start", said("the first day"), parse=a_date, columns=("own_disabled_start",)),
        Parameter("end", said("the last day"), parse=a_date, columns=("own_disabled_end",)),
    ),
    example="carbon-migrate run voluntary-block subscribers.csv --set start=2020-07-01 --set end=2020-07-31",
)

BLOCK_HISTORY: Final = JobSpec(
    name="block-history",
    recipes=(19,),
    summary=said("correct entries of the history of blocks"),
    model="AbonentsBlockHistory",
    chain=('objects.get {"id": {id}}', 'set {"time_changed": "{time_changed}", "time_del": "{time_del}"}', "save"),
    parameters=(
        Parameter("id", said("id of the entry"), parse=an_id, columns=()),
        Parameter("time_changed", said("when the block began"), parse=a_moment, columns=()),
        Parameter("time_del", said("when it ended"), parse=a_moment, columns=()),
    ),
    example="carbon-migrate run block-history --set id=118 --set time_changed=2019-06-01 --set time_del=2019-06-01",
)

SUBSCRIBERS: Final = (OPERATOR, RECALCULATE, TARIFF_NEXT, TARIFF_NOW, VOLUNTARY_BLOCK, BLOCK_HISTORY)
