"""Connected services: what `allow_set_none_manager` is for."""

from pathlib import Path

from billing.api.calls import Call, ChainStep
from engine.evidence import RowRefused
from jobs.access.gateway import Gateway
from jobs.access.payload import payload_of
from jobs.catalogue.services import NEXT_CHARGE
from tests.jobs.conftest import Execute
from tests.jobs.making import job_of, planned, rows_of, sent


async def test_a_service_without_a_manager(gateway: Gateway, tmp_path: Path, execute: Execute) -> None:
    execute("insert into users_usluga (id, abonent_id, usluga_id) values (90001, 9001, 126)")
    rows = rows_of(tmp_path, "contract_number;usluga_id;next_date\n00123;126;2020-09-13\n")
    job = job_of(gateway, NEXT_CHARGE, rows)
    items = await planned(job)
    assert payload_of(items[0]).steps == (
        ("objects.get", {"abonent_id": 9001, "usluga_id": 126}),
        ("set", {"next_date": "2020-09-13 00:00:00"}),
        ("save", {"allow_set_none_manager": True}),
    )
    # The billing refuses the same without the word.
    bare = payload_of(items[0]).call.steps[:2]
    evidence = await gateway.client.send(Call("UsersUsluga", (*bare, ChainStep("save", {}))))
    assert isinstance(evidence, RowRefused), evidence
    await sent(job, items)
