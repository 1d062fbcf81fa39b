"""A proxy gives answers twice, late or its own: no row is accepted that is not in the billing."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from yarl import URL

from checkpoints.states import State
from lab.crash.mock_process import free_ports
from lab.crash.proxy import Interference, Proxy, ProxyFault
from tests.cli.conftest import Place

PAY = ("--model", "Abonents", "--chain", 'objects.get {"id": {id}}', "--chain", 'add_payment {"SUM_IN": "{sum}"}')
ONE = ("--yes", "--json", "--in-flight", "1", "--no-canary", "--settle", "0.1")
FAULTS = {3: ProxyFault.ANSWER_TWICE, 6: ProxyFault.NEXT_SWALLOWED, 9: ProxyFault.GATEWAY_TIMEOUT}
"""What happens to the answers to calls of these numbers. Those before the third share no connection yet."""
INSTEAD: Mapping[int, tuple[int, str]] = {
    11: (429, "<h1>Too many</h1>"),
    13: (503, "<h1>Later</h1>"),
    15: (400, "<h1>Bad request</h1>"),
    17: (200, '{"call": "x", "error": "division by zero"}'),
    19: (403, "<h1>Forbidden</h1>"),
}
"""What is answered to others in the billing's place, when they have had their effects. The last ends the run."""
ROWS = max(INSTEAD) + 3
JOBS = {
    "balances": ("balances",),
    "payment": ("payment", "--set", "way=add_payment"),
    "call": ("call", *PAY),
    "warning-threshold": ("warning-threshold",),
}


class ByNumber(Proxy):
    """Disturbs the answers to requests that hold a text, by their numbers."""

    def __init__(self, target: int, text: str) -> None:
        super().__init__(free_ports(1)[0], target, Interference(1, {}))
        self.calls = 0
        self._text = text.encode()

    def draw(self, request: bytes) -> ProxyFault | None:
        self.calls += self._text in request
        return FAULTS.get(self.calls) if self._text in request else None


@asynccontextmanager
async def misled(place: Place, text: str) -> AsyncIterator[ByNumber]:
    """All ways to the billing lead through a proxy that is not to be trusted."""

    async def instead(number: int) -> web.Response | None:
        status, body = INSTEAD.get(number, (0, ""))
        # A call that may be repeated is refused as a page says, and stops where it says so.
        if not status or (text == "save" and status not in {429, 503}):
            return None
        return web.Response(status=status, text=body, headers={"Retry-After": "0"}, content_type="text/html")

    proxy = ByNumber(URL(place.billing.url).port or 0, text)
    place.traffic.model, place.traffic.method = "", text
    place.traffic.afterwards = instead
    place.cli.environment["CARBON_MIGRATE_API_URL"] = f"http://127.0.0.1:{proxy.port}"
    async with proxy.serving():
        yield proxy


@pytest.mark.parametrize("job", JOBS)
async def test_no_row_is_credited_with_the_answer_to_another(place: Place, job: str) -> None:
    sign = "-" if job == "warning-threshold" else ""
    amounts = {key: 100_25 + 100 * number for number, key in enumerate(place.subscribers(ROWS))}
    lines = (f"{key};{sign}{amount / 100:.2f}" for key, amount in amounts.items())
    file = place.rows("id;sum" if job == "call" else "abonent_id;amount", *lines)
    text = {"balances": "objects.create", "warning-threshold": "save"}.get(job, "add_payment")
    async with misled(place, text) as proxy:
        closing = (await place.cli("run", *JOBS[job], file, *ONE, may_end_with=(0, 3, 4))).closing
        if closing["exit"] == 3:
            assert closing["states"]["unknown"] >= 1
            resume = ("resume", closing["run"], "--json", "--settle", "0.1")
            closing = (await place.cli(*resume, may_end_with=(0, 4))).closing
    assert proxy.calls >= place.traffic.arrived >= max(INSTEAD)
    if job == "warning-threshold":
        # What was swallowed or refused is lost, and made again: it does no harm twice.
        assert closing["states"] == {"accepted": ROWS}
        select = "select a.id, aa.limit_warning from abonents a join admin_accounts aa on aa.id = a.account_id"
        there = {key: -int(scaled) // 10**8 for key, scaled in place.query(select) if key in amounts}
        assert there == amounts
        return
    rows = place.query("select abonent_id, op_summa from finance_operations where op_type <> 1")
    found = Counter((key, int(scaled) // 10**8) for key, scaled in rows if amounts.get(key) == int(scaled) // 10**8)
    assert set(found.values()) == {1}, "entered twice"
    async with place.journal() as journal:
        items = await journal.items(await journal.run(closing["run"]), set(State), size=ROWS)
    states = Counter(item.state for item in items)
    accepted = {int(item.row[0]) for item in items if item.state is State.ACCEPTED}
    assert accepted <= {key for key, _ in found}, "accepted, and not in the billing"
    # Without a mark a row whose answer is in doubt is left to a person; no other one is.
    most = 0 if job == "balances" else len(FAULTS) + len(INSTEAD)
    assert states[State.ACCEPTED] + states[State.MANUAL] == ROWS
    assert states[State.MANUAL] <= most
