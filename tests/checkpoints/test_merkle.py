"""The Merkle tree over a run's items, against RFC 6962 and against its own definition."""

from decimal import Decimal
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpoints.merkle import EMPTY, InclusionProof, leaf_data, leaf_hash, node_hash, prove, root_of
from checkpoints.records import Item
from checkpoints.states import State

# The leaves and roots of the reference tests of Certificate Transparency, by the number of leaves.
LEAVES = [
    bytes.fromhex(one)
    for one in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = {
    0: sha256(b"").hexdigest(),
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    4: "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    5: "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    6: "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    7: "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


def defined(leaves: list[bytes]) -> bytes:
    """The root by the definition of the RFC, word by word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while 2 * split < len(leaves):
        split *= 2
    return node_hash(defined(leaves[:split]), defined(leaves[split:]))


@pytest.mark.parametrize("size", ROOTS)
def test_the_roots_are_those_of_certificate_transparency(size: int) -> None:
    assert root_of(map(leaf_hash, LEAVES[:size])).hex() == ROOTS[size]


@given(st.integers(1, 200), st.data())
def test_each_leaf_is_proved_and_no_other(size: int, data: st.DataObject) -> None:
    leaves = [leaf_hash(str(number).encode()) for number in range(size)]
    index = data.draw(st.integers(0, size - 1))
    proof = prove(leaves, index)
    assert root_of(leaves) == defined(leaves) == proof.root(leaves[index])
    assert len(proof.path) <= size.bit_length()
    assert proof.root(leaf_hash(b"another")) != defined(leaves)
    with pytest.raises(ValueError, match="the path is too long"):
        InclusionProof(index, size, (*proof.path, *proof.path, EMPTY)).root(leaves[index])
    if proof.path:
        with pytest.raises(ValueError, match="the path is too short"):
            InclusionProof(index, size, proof.path[:-1]).root(leaves[index])


def test_what_is_proved_of_an_item_is_written_without_doubt() -> None:
    item = Item(
        7, 3, "9001/8", "00467", "account:1", "{}", Decimal("-459.90"), 4, (), State.APPLIED, 1, "81", None, ""
    )
    assert leaf_data(item) == b'[3,"9001/8","-459.90","applied","81"]'
    without = Item(7, 3, "ключ", "00467", "account:1", "{}", None, 4, (), State.SKIPPED, 0, None, None, "")
    assert leaf_data(without).decode() == '[3,"ключ",null,"skipped",null]'
