"""Merkle trees of RFC 6962, section 2.1: hashes, roots, proofs, and a frontier that grows leaf by leaf.

A tree consists of *complete subtrees*: ``(level, index)`` names the subtree over the leaves from ``index << level`` to
``(index + 1) << level``. From their hashes (a :class:`HashReader`) any root or proof can be made, without the leaves.
``verify_*`` check untrusted proofs; they trust only the root that the caller gives.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from schemas.errors import PeerError
from schemas.reasons import Reason

HASH_BYTES: Final = 32  # SHA-256
MAX_PROOF_HASHES: Final = 63  # a tree has fewer than 2**63 leaves (C2SP tlog-witness)
MAX_SIZE: Final = 2**63 - 1
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"


class HashReader(Protocol):
    """The source of the hashes of complete subtrees."""

    def __call__(self, level: int, index: int) -> bytes:
        """The hash of the complete subtree ``(level, index)``, 32 bytes; level 0 is a leaf's hash."""


def leaf_hash(entry: bytes) -> bytes:
    """The hash of one entry, 32 bytes."""
    return hashlib.sha256(_LEAF + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node, 32 bytes."""
    return hashlib.sha256(_NODE + left + right).digest()


class Frontier:
    """The complete subtrees of a growing tree, largest first. They suffice to append leaves and to compute the root.

    Invariant: one hash for each bit that is set in ``size``.
    """

    __slots__ = ("_hashes", "size")

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        if len(hashes) != size.bit_count():
            message = f"{len(hashes)} hashes for a tree of {size}"
            raise ValueError(message)
        self.size = size
        self._hashes = list(hashes)

    @classmethod
    def of(cls, size: int, read: HashReader) -> "Frontier":
        """The frontier of the first ``size`` leaves of the tree behind ``read``."""
        return cls(size, [read(level, index) for level, index in _complete(0, size)])

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """The subtrees' hashes, largest first."""
        return tuple(self._hashes)

    def append(self, leaf: bytes) -> None:
        """Adds the hash of the next leaf."""
        position, merged = self.size, leaf
        while position & 1:
            merged = node_hash(self._hashes.pop(), merged)
            position >>= 1
        self._hashes.append(merged)
        self.size += 1

    def root(self) -> bytes:
        """The root of the tree so far, 32 bytes."""
        return _fold(self._hashes)


def root_of(size: int, read: HashReader) -> bytes:
    """The root over the first ``size`` leaves."""
    return _range_hash(0, size, read)


def prove_inclusion(index: int, size: int, read: HashReader) -> tuple[bytes, ...]:
    """The audit path of leaf ``index`` in the tree of ``size`` leaves (RFC 6962, 2.1.1), from the leaf to the root.

    Raises:
        ValueError: there is no such leaf in such a tree.
    """
    if not 0 <= index < size:
        message = f"leaf {index} in a tree of {size}"
        raise ValueError(message)
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(_range_hash(middle, end, read))
            end = middle
        else:
            path.append(_range_hash(start, middle, read))
            start = middle
    return tuple(reversed(path))


def prove_consistency(old_size: int, new_size: int, read: HashReader) -> tuple[bytes, ...]:
    """The proof that the tree of ``new_size`` leaves extends the tree of ``old_size`` leaves (RFC 6962, 2.1.2).

    Empty if there is nothing to prove: from the empty tree, and between a tree and itself.

    Raises:
        ValueError: the new tree is smaller.
    """
    if not 0 <= old_size <= new_size:
        message = f"from a tree of {old_size} to one of {new_size}"
        raise ValueError(message)
    if old_size in {0, new_size}:
        return ()
    path: list[bytes] = []
    start, end = 0, new_size
    while end != old_size:
        middle = start + _split(end - start)
        if old_size <= middle:
            path.append(_range_hash(middle, end, read))
            end = middle
        else:
            path.append(_range_hash(start, middle, read))
            start = middle
    if start:
        path.append(_range_hash(start, end, read))
    return tuple(reversed(path))


def verify_inclusion(leaf: bytes, index: int, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Checks that the leaf with the hash ``leaf`` is number ``index`` in the tree of ``size`` leaves with this root.

    Raises:
        PeerError: ``audit-proof-invalid``.
    """
    if not 0 <= index < size <= MAX_SIZE:
        raise _invalid(f"inclusion of leaf {index} in a tree of {size}")
    _check_hashes(leaf, root, *proof)
    position, last, computed = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise _invalid("inclusion: more hashes than the tree is high")
        if position & 1 or position == last:
            computed = node_hash(sibling, computed)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            computed = node_hash(computed, sibling)
        position, last = position >> 1, last >> 1
    if last:
        raise _invalid("inclusion: fewer hashes than the tree is high")
    if computed != root:
        raise _invalid(f"inclusion: leaf {index} does not lead to the root of {size} leaves")


def verify_consistency(old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Checks that the tree of ``new_size`` leaves starts with the unchanged tree of ``old_size`` leaves.

    Raises:
        PeerError: ``audit-proof-invalid``.
    """
    if not 0 <= old_size <= new_size <= MAX_SIZE:
        raise _invalid(f"consistency from a tree of {old_size} to one of {new_size}")
    _check_hashes(old_root, new_root, *proof)
    for size, root in ((old_size, old_root), (new_size, new_root)):
        if size == 0 and root != EMPTY_ROOT:
            raise _invalid("consistency: an empty tree with a wrong root")
    if old_size in {0, new_size}:
        if proof:
            raise _invalid("consistency: hashes where none are needed")
        if old_size == new_size and old_root != new_root:
            raise _invalid(f"consistency: two roots of {old_size} leaves")
        return
    _walk_consistency(old_size, old_root, new_size, new_root, list(proof))


def _walk_consistency(old_size: int, old_root: bytes, new_size: int, new_root: bytes, path: list[bytes]) -> None:
    """RFC 9162, section 2.1.4.2."""
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    if not path:
        raise _invalid("consistency: no hashes")
    position, last = old_size - 1, new_size - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    old_computed = new_computed = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise _invalid("consistency: more hashes than the tree is high")
        if position & 1 or position == last:
            old_computed = node_hash(sibling, old_computed)
            new_computed = node_hash(sibling, new_computed)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            new_computed = node_hash(new_computed, sibling)
        position, last = position >> 1, last >> 1
    if last:
        raise _invalid("consistency: fewer hashes than the tree is high")
    if old_computed != old_root or new_computed != new_root:
        raise _invalid(f"consistency: the tree of {new_size} leaves does not extend the tree of {old_size}")


def _check_hashes(*hashes: bytes) -> None:
    if len(hashes) > MAX_PROOF_HASHES + 2:
        raise _invalid(f"a proof of more than {MAX_PROOF_HASHES} hashes")
    if any(len(each) != HASH_BYTES for each in hashes):
        raise _invalid(f"a hash that is not {HASH_BYTES} bytes long")


def _invalid(detail: str) -> PeerError:
    return PeerError(Reason.AUDIT_PROOF_INVALID, detail)


def _split(count: int) -> int:
    """The largest power of two below ``count``, which is 2 or more."""
    return 1 << ((count - 1).bit_length() - 1)


def _complete(start: int, end: int) -> Iterator[tuple[int, int]]:
    """The complete subtrees over [start, end), largest first. ``start`` is a multiple of the largest one's size."""
    while start < end:
        level = (end - start).bit_length() - 1
        yield level, start >> level
        start += 1 << level


def _range_hash(start: int, end: int, read: HashReader) -> bytes:
    return _fold([read(level, index) for level, index in _complete(start, end)])


def _fold(hashes: Sequence[bytes]) -> bytes:
    if not hashes:
        return EMPTY_ROOT
    computed = hashes[-1]
    for left in reversed(hashes[:-1]):
        computed = node_hash(left, computed)
    return computed
