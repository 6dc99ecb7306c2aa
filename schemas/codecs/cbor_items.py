"""Counts the CBOR items in some bytes without building them.

A decoder builds everything that the bytes describe, and a map whose keys collide costs it time quadratic in their
number. So this module first limits items, levels and pairs of a map in bytes that no trusted key signed, and allows
only integers and text as keys. The decoder finds all other errors.
"""

from typing import Final

from schemas.errors import PeerError
from schemas.limits import MAX_CBOR_DEPTH, MAX_CBOR_ITEMS, MAX_CBOR_PAIRS
from schemas.reasons import Reason

# RFC 8949, section 3: additional information and major types.
_LONG_ARGUMENT, _LONGEST_ARGUMENT = 24, 27
_BYTES, _TEXT, _ARRAY, _MAP, _TAG = 2, 3, 4, 5, 6
_KEY_MAJORS: Final = frozenset({0, 1, _TEXT})


def check_items(raw: bytes, field: str) -> None:
    """Checks the number of items, in linear time.

    Args:
        raw: untrusted bytes.
        field: name of the bytes, for the error message.

    Raises:
        PeerError: ``too-large``; ``malformed`` for a map key of another kind.
    """
    position = items = 0
    left: list[int] = []  # items that each open container still lacks; of a map, keys and values, as a negative number
    while position < len(raw):
        items += 1
        if items > MAX_CBOR_ITEMS or len(left) > MAX_CBOR_DEPTH:
            raise PeerError(Reason.TOO_LARGE, f"{field}: more than {MAX_CBOR_ITEMS} items or {MAX_CBOR_DEPTH} levels")
        major, value = raw[position] >> 5, raw[position] & 31
        position += 1
        if value > _LONGEST_ARGUMENT:
            return  # indefinite or reserved: the decoder refuses it
        if value >= _LONG_ARGUMENT:
            width = 1 << (value - _LONG_ARGUMENT)
            value = int.from_bytes(raw[position : position + width], "big")
            position += width
        if left:
            _count(left, major, field)
        if major in (_BYTES, _TEXT):
            position += value
        else:
            _open(left, major, value, field)
        while left and not left[-1]:
            left.pop()


def _count(left: list[int], major: int, field: str) -> None:
    if left[-1] > 0:
        left[-1] -= 1
        return
    if left[-1] % 2 == 0 and major not in _KEY_MAJORS:
        raise PeerError(Reason.MALFORMED, f"{field}: a map key that is neither an integer nor text")
    left[-1] += 1


def _open(left: list[int], major: int, value: int, field: str) -> None:
    if major == _ARRAY:
        left.append(value)
    elif major == _MAP:
        if value > MAX_CBOR_PAIRS:
            raise PeerError(Reason.TOO_LARGE, f"{field}: a map of {value} pairs, the limit is {MAX_CBOR_PAIRS}")
        left.append(-2 * value)
    elif major == _TAG:
        left.append(1)
