"""Small tables of the reference: variables, what is published for Prometheus, and which objects carry a mark."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from cli.metrics.reader import METRICS
from jobs.spec.entries import CREATED
from tools.house import ROOMS, ROOT
from tools.reference.markdown import code, table

VARIABLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "CARBON_MIGRATE_API_URL": "the address of the REST API, as `--api-url`",
        "CARBON_MIGRATE_DATABASE": "the database, as `--database`",
        "CARBON_MIGRATE_DATABASE_USER": "its user, as `--database-user`",
        "CARBON_MIGRATE_DATABASE_PASSWORD": "its password, which has no flag; hooks get neither it nor `PGPASSWORD`",
        "CARBON_MIGRATE_DATABASE_CHARSET": "its encoding, as `--database-charset`",
        "CARBON_MIGRATE_JOURNAL": "the journal, as `--journal`",
        "CARBON_MIGRATE_VAULT_KEY": "the key for [passwords in PostgreSQL](../how-to/postgres.md) itself, "
        "without a flag; hooks do not get it",
        "CARBON_MIGRATE_LANG": "the language, as `--lang`",
        "CARBON_MIGRATE_PROFILE": "the profile of the settings, as `--profile`",
        "CARBON_MIGRATE_IN_HOOK": "set for what a hook starts: such a command calls no hooks",
    }
)
"""What each variable is that the code reads. A test names those that are missing here."""

_OWN_LABELS = {
    "carbon_migrate_items": "state",
    "carbon_migrate_roubles": "state",
    "carbon_migrate_held_seconds_total": "cause",
}
"""What labels a metric has beside those of its run; a test holds this against what is published."""


def variables() -> list[str]:
    """The variables of the program's own that its code names."""
    texts = (path.read_text(encoding="utf-8") for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    found = {name for text in texts for name in re.findall(r"\bCARBON_MIGRATE_[A-Z_]*[A-Z]\b", text)}
    return sorted(found, key=lambda name: ([*VARIABLES, name].index(name), name))


def variable_table() -> str:
    """All variables of the program's own."""
    return table(["variable", "is"], [(code(name), VARIABLES.get(name, "–")) for name in variables()])


def metric_table() -> str:
    """All metrics in their order."""
    rows = [
        (code(name), one.kind, code(_OWN_LABELS[name]) if name in _OWN_LABELS else "–", one.help)
        for name, one in METRICS.items()
    ]
    return table(["metric", "kind", "label", "what it says"], rows)


def mark_table() -> str:
    """The models whose new objects are found again, by a mark or by what they are."""
    rows = [
        (code(model), f"its mark, in {code(field)}" if field else "what it is: a contract number, a login, a value")
        for model, field in CREATED.items()
    ]
    return table(["model of the API", "a new object is found again by"], rows)
