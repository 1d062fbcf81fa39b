"""Addresses without sockets."""

import functools
from unittest.mock import Mock

import aiohttp
import aioresponses.core
import pytest


@pytest.fixture(autouse=True)
def _answers_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a response what aiohttp wants since 3.14, and aioresponses 0.7.9 does not know."""
    made = functools.partial(aiohttp.ClientResponse, stream_writer=Mock(output_size=0))
    monkeypatch.setattr(aioresponses.core, "ClientResponse", made)
