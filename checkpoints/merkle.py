"""A Merkle tree over the items of a run, as RFC 6962 has it: one hash proves all of them, a short path proves one.

    root of a range = H(0x01 ‖ root of its first 2^k leaves ‖ root of the rest), 2^k the largest below its length
    leaf            = H(0x00 ‖ data)

H is SHA-256. Whoever has the root can check a proof with twenty lines of their own, see docs/how-to/report.md.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import msgspec

from checkpoints.records import Item

EMPTY: Final = sha256(b"").digest()
"""The root of a tree without leaves."""

_encode: Final = msgspec.json.Encoder().encode


def leaf_data(item: Item) -> bytes:
    """What of an item is proved: a JSON array of number, key, amount, state and answer, without white space."""
    amount = None if item.amount is None else format(item.amount, "f")
    return _encode((item.number, item.key, amount, item.state, item.answer))


def leaf_hash(data: bytes) -> bytes:
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


class MerkleTree:
    """Computes the root of leaves that come one after another; its memory is the height of the tree."""

    def __init__(self) -> None:
        self._peaks: list[tuple[int, bytes]] = []
        self.size = 0

    def add(self, leaf: bytes) -> None:
        peak = (1, leaf)
        while self._peaks and self._peaks[-1][0] == peak[0]:
            width, left = self._peaks.pop()
            peak = (2 * width, node_hash(left, peak[1]))
        self._peaks.append(peak)
        self.size += 1

    @property
    def root(self) -> bytes:
        root: bytes | None = None
        for _, peak in reversed(self._peaks):
            root = peak if root is None else node_hash(peak, root)
        return EMPTY if root is None else root


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """That a leaf is in a tree: its index from 0, the tree's size, and the hashes beside its way to the root."""

    index: int
    size: int
    path: tuple[bytes, ...]

    def root(self, leaf: bytes) -> bytes:
        """The root that the leaf's hash and the path make (RFC 6962-bis, 2.1.3.2). Raises `ValueError` if none."""
        place, last, root = self.index, self.size - 1, leaf
        for sibling in self.path:
            if last == 0:
                raise ValueError("the path is too long for the tree")
            if place & 1 or place == last:
                root = node_hash(sibling, root)
                while not place & 1 and place:
                    place, last = place >> 1, last >> 1
            else:
                root = node_hash(root, sibling)
            place, last = place >> 1, last >> 1
        if last:
            raise ValueError("the path is too short for the tree")
        return root


def prove(leaves: Sequence[bytes], index: int) -> InclusionProof:
    return InclusionProof(index, len(leaves), tuple(_path(leaves, index)))


def root_of(leaves: Iterable[bytes]) -> bytes:
    tree = MerkleTree()
    for leaf in leaves:
        tree.add(leaf)
    return tree.root


def _path(leaves: Sequence[bytes], index: int) -> Iterator[bytes]:
    if len(leaves) == 1:
        return
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if index < split:
        yield from _path(leaves[:split], index)
        yield root_of(leaves[split:])
    else:
        yield from _path(leaves[split:], index - split)
        yield root_of(leaves[:split])
