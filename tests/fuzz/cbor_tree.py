"""Mutations of CBOR that stay CBOR: a value in the tree changes, the encoding remains deterministic.

Looks into byte strings that hold CBOR themselves, as CMW, COSE and CoRIM nest it. An input may begin with one byte that
tells a target what the rest is.
"""

import random
from collections.abc import Mapping
from typing import Any, Final

from schemas.codecs import cbor
from schemas.errors import PeerError

_INTEGERS: Final = (0, 1, -1, 23, 24, 255, 256, 2**16, 2**31, 2**32 - 1, 2**53 + 1, 2**63, 2**64 - 1)
_SCALARS: Final[tuple[Any, ...]] = (None, True, False, "", "text", b"", bytes(32), [], {}, *_INTEGERS)
_MAX_NEST: Final = 12


def mutate_cbor(data: bytes, chance: random.Random) -> bytes:
    """An input with one to four values changed; as it was when it is no CBOR."""
    for start in (0, 1):
        try:
            value = cbor.decode(data[start:], "fuzz")
        except PeerError:
            continue
        for _ in range(1 << chance.randrange(3)):
            value = mutate_tree(value, chance)
        try:
            return data[:start] + cbor.encode(value)
        except (TypeError, ValueError, OverflowError, RecursionError):
            return data
    return data


def mutate_tree(value: Any, chance: random.Random, depth: int = 0) -> Any:  # noqa: ANN401 any CBOR there is
    """A value with one of those in it changed."""
    if depth > _MAX_NEST or chance.random() < 0.05:
        return chance.choice(_SCALARS)
    match value:
        case Mapping() if value:
            return _mutate_map(dict(value), chance, depth)
        case list() | tuple() if value:
            return _mutate_array(list(value), chance, depth)
        case cbor.Tag():
            tag = value.tag + 1 if chance.random() < 0.05 else value.tag
            return cbor.Tag(tag, mutate_tree(value.value, chance, depth + 1))
        case bytes():
            return _mutate_bytes(value, chance, depth)
        case str():
            return chance.choice([value[:-1], value + "x", value * 20, "\x00", "é" + value])
        case int():
            return value + chance.choice([-1, 1, 2**16]) if chance.random() < 0.5 else chance.choice(_INTEGERS)
        case _:
            return chance.choice(_SCALARS)


def _mutate_map(items: dict[Any, Any], chance: random.Random, depth: int) -> dict[Any, Any]:
    key = chance.choice(list(items))
    match chance.randrange(8):
        case 0:
            del items[key]
        case 1:
            items[chance.choice([key + 1 if isinstance(key, int) else "tcg2", 7, "ima", -1])] = items[key]
        case _:
            items[key] = mutate_tree(items[key], chance, depth + 1)
    return items


def _mutate_array(items: list[Any], chance: random.Random, depth: int) -> list[Any]:
    at = chance.randrange(len(items))
    match chance.randrange(8):
        case 0:
            del items[at]
        case 1:
            items.insert(at, items[at])
        case _:
            items[at] = mutate_tree(items[at], chance, depth + 1)
    return items


def _mutate_bytes(value: bytes, chance: random.Random, depth: int) -> bytes:
    if chance.random() < 0.7:
        try:
            return cbor.encode(mutate_tree(cbor.decode(value, "nested"), chance, depth + 1))
        except (PeerError, TypeError, ValueError, OverflowError, RecursionError):
            pass
    changed = bytearray(value)
    at = chance.randrange(len(changed) + 1)
    match chance.randrange(4):
        case 0:
            changed[at : at + 1] = chance.randbytes(1)
        case 1:
            changed[at:at] = chance.randbytes(chance.randrange(1, 5))
        case 2:
            del changed[at : at + chance.randrange(1, 9)]
        case _:
            del changed[at:]
    return bytes(changed)
