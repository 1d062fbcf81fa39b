"""A client of the billing's REST API: the one call that this project makes."""

import json
import urllib.parse
import urllib.request
from typing import Any

RECEIPT = 2
"""The type of an operation that adds to a balance."""


class Client:
    """The billing at `url`."""

    def __init__(self, url: str) -> None:
        self._url = url

    def receive(self, subscriber: int, roubles: str, comment: str) -> None:
        """Enter a receipt, unless one with this comment is there: a call whose answer is lost can be repeated.

        Raises OSError where there is no answer.
        """
        there = self._call("objects.filter", {"abonent_id": subscriber, "op_type_id": RECEIPT})
        if not any(one["fields"]["descr"] == comment for one in there):
            values = {"abonent_id": subscriber, "op_summa": roubles, "op_type_id": RECEIPT, "descr": comment}
            self._call("objects.create", values)

    def _call(self, method: str, values: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
        form = {"method1": method, "arg1": json.dumps(values)}
        body = urllib.parse.urlencode(form).encode()
        with urllib.request.urlopen(f"{self._url}/rest_api/v2/FinanceOperations/", body) as answer:  # noqa: S310
            return json.load(answer)["result"]
