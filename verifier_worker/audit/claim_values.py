"""Values of a result's claims, to compare two results and to show where they differ."""

import json
from collections.abc import Iterator
from typing import Final

_MOST_SHOWN: Final = 200  # characters of a value


def shown(value: object) -> str:
    """JSON, shortened."""
    text = "nothing" if value is None else json.dumps(value)
    return text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "…"


def leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """The values in nested claims, maps excluded, each with its path."""
    if not isinstance(value, dict):
        yield path, value
        return
    for name, inner in value.items():
        yield from leaves(inner, f"{path}/{name}" if path else str(name))
