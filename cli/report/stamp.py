"""The stamp of a report: run, number of rows and root, as a machine reads them from the page."""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

_STAMP: Final = re.compile(r'<meta name="carbon-migrate-report" content="run=(\w+) size=(\d+) root=([0-9a-f]{64})">')
_DIGESTS: Final = re.compile(r'<template id="digests">([A-Za-z0-9+/=]*)</template>')


@dataclass(frozen=True, slots=True)
class Stamp:
    """The run that a report is of, the number of its items, and the Merkle root over them in hexadecimal."""

    run: str
    size: int
    root: str


def stamp_text(stamp: Stamp) -> str:
    """The stamp as it stands in the page."""
    return f"run={stamp.run} size={stamp.size} root={stamp.root}"


def read_stamp(page: str) -> tuple[Stamp, bytes]:
    """The stamp of a page, and the first bytes of the hash of each item. Raises `ValueError` for another page."""
    stamp, digests = _STAMP.search(page), _DIGESTS.search(page)
    if stamp is None or digests is None:
        raise ValueError("it is no report of this program, or its stamp was removed")
    try:
        return Stamp(stamp[1], int(stamp[2]), stamp[3]), base64.b64decode(digests[1], validate=True)
    except binascii.Error as error:
        raise ValueError("the hashes of its rows are damaged") from error
