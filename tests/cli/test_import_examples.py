"""The tables of other billings in `examples/` are imported, as `examples/README.md` says, into one billing."""

import csv
import shutil
from decimal import Decimal
from pathlib import Path

import pytest

from billing.money import SCALE
from jobs.imports.subscriber import folder_names
from tests.cli.conftest import Place
from tests.jobs.imports.test_examples import EXAMPLES, EXPECTED

THERE = """
select a.contract_number, f.name, cast(c.ostatok + c.debit - c.credit as bigint),
    (select count(*) from users u where u.abonent_id = a.id and u.deleted = 0),
    (select count(*) from users_usluga s where s.abonent_id = a.id and s.deleted = 0),
    (select count(*) from attribute_values v where v.abonent_id = a.id)
from abonents a
join abonents f on f.id = a.parent_id
join admin_accounts c on c.id = a.account_id
where a.id > :last
"""


@pytest.mark.parametrize("name", EXPECTED)
async def test_an_example_is_imported_and_is_there(place: Place, name: str) -> None:
    (main,) = (EXAMPLES / name).glob("subscribers.*")
    for path in (EXAMPLES / name).iterdir():
        shutil.copy(path, place.cli.folder)
    ((last,),) = place.query("select max(id) from abonents")
    given = (main.name, "--map", "map.toml")
    await place.cli("dictionary", *given, "-o", "dictionary.csv", may_end_with=(1,))
    check(place.cli.folder / "dictionary.csv")
    await place.cli("import", *given, "--dictionary", "dictionary.csv", "--yes")
    there = {number: tuple(rest) for number, *rest in place.billing.database.query(THERE, {"last": last}) if number}
    assert there == {number: wanted(steps) for number, steps in EXPECTED[name].items()}


def check(path: Path) -> None:
    """Check a dictionary as a person does: fill in the tariffs, and say of each proposal that it is right."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    assert {row["kind"] for row in rows if not row["id"]} <= {"tariff"}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0], delimiter=";")
        writer.writeheader()
        writer.writerows(row | {"id": row["id"] or "2", "checked": "да"} for row in rows)


def wanted(steps: list[tuple[str, dict[str, str]]]) -> tuple[object, ...]:
    """The folder, the balance, and the numbers of accounts, services and attributes."""
    names = [step for step, _ in steps]
    values = dict(steps)
    balance = Decimal(values["balance"]["op_summa"].replace(",", "."))
    return (
        folder_names(values["folder"]["path"])[-1],
        int(balance * SCALE),
        *(names.count(one) for one in ("account", "service", "attribute")),
    )
