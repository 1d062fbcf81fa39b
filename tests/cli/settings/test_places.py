"""A billing's address as the name of its journal: the same, however it is found."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from cli.settings.places import name_of_billing

PLAIN = r"(?i:https?)://[0-9a-zA-Z.-]{1,20}(:[0-9]{1,4})?(/[0-9a-zA-Z_-]{0,5}){0,3}"


@given(st.from_regex(PLAIN, fullmatch=True))
def test_a_plain_address_has_the_name_that_its_parts_give(address: str) -> None:
    url = URL(address)
    parts = f"{url.host}-{url.port}{url.path.rstrip('/')}".casefold()
    assert name_of_billing(address) == (re.sub(r"[^0-9a-z.-]+", "_", parts).strip("_.-") or "billing")


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("http://10.0.0.5:8082", "10.0.0.5-8082"),
        ("HTTPS://Billing.Example.ORG/", "billing.example.org-443"),
        ("http://[fe80::1%25eth0]:8082", "fe80_1_eth0-8082"),
        ("http://somebody:word@billing:8082/a/../b", "billing-8082_b"),
        ("http://xn--90ahcb.xn--p1ai:8082", "8082"),
        ("http://billing:port", "http_billing_port"),
        ("", "nowhere-0"),
    ],
)
def test_any_other_address_has_one_as_well(address: str, name: str) -> None:
    assert name_of_billing(address) == name
