"""Jobs on the accounts of subscribers: warning thresholds and cut-off limits, in roubles."""

from typing import Final

from jobs.effects.fields import fields
from jobs.kinds import JobKind
from jobs.parameters import Parameter, roubles
from jobs.recipes.keys import FOLDER, SUBSCRIBER

_KEY: Final = '{"account_id_abonents": {abonent_id}}'

WARNING_THRESHOLD: Final = JobKind(
    name="warning-threshold",
    recipes=(3,),
    summary="set the warning threshold of a folder's subscribers",
    statement="of_folder",
    parameters=(
        FOLDER,
        *SUBSCRIBER,
        Parameter("amount", "the threshold in roubles, as -120", parse=roubles, columns=("limit_warning",)),
    ),
    effect=fields("AdminAccounts", _KEY, '{"limit_warning": "{amount}"}'),
    call='AdminAccounts: objects.get(account_id_abonents=…) → set(limit_warning="-120") → save()',
    example="carbon-migrate run warning-threshold --set folder=1316 --set amount=-120",
)

TARIFF_THRESHOLD: Final = JobKind(
    name="tariff-threshold",
    recipes=(4,),
    summary="set the warning threshold as in the tariff, where it differs",
    statement="tariff_thresholds",
    parameters=(
        *SUBSCRIBER,
        Parameter("amount", "the threshold in roubles", parse=roubles, columns=("limit_warning",)),
    ),
    effect=fields("AdminAccounts", _KEY, '{"limit_warning": "{amount}"}'),
    call='AdminAccounts: objects.get(account_id_abonents=…) → set(limit_warning="…") → save()',
    example="carbon-migrate run tariff-threshold",
)

CUTOFF_LIMIT: Final = JobKind(
    name="cutoff-limit",
    recipes=(5,),
    summary="set the cut-off limit of a folder's subscribers to the sum of their tariff's services, plus one rouble",
    statement="tariff_sums",
    parameters=(
        FOLDER,
        *SUBSCRIBER,
        Parameter("amount", "the limit in roubles", parse=roubles, columns=("limit",)),
    ),
    effect=fields("AdminAccounts", _KEY, '{"limit": "{amount}"}'),
    call='AdminAccounts: objects.get(account_id_abonents=…) → set(limit="351") → save()',
    example="carbon-migrate run cutoff-limit --set folder=89",
)

ACCOUNTS: Final = (WARNING_THRESHOLD, TARIFF_THRESHOLD, CUTOFF_LIMIT)
