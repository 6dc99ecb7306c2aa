"""A push with other unsigned parts, as anyone who carries it can make it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from schemas.hashes import SHA256, HashAlgorithm
from schemas.messages.evidence import Evidence, LogIncrement

_FAR: Final = 1000


def altered(evidence: Evidence, others: Sequence[tuple[str, Evidence]]) -> Iterator[tuple[str, Evidence]]:
    """Each unsigned part removed, emptied, damaged, counted wrong, or taken from another push; with words for it."""
    for name, increment in evidence.unsigned_increments.items():
        if name != "ima":
            continue
        for words, changed in _increments(increment):
            logs = {key: value for key, value in evidence.unsigned_increments.items() if key != name}
            if changed is not None:
                logs[name] = changed
            yield f"its {name} entries {words}", replace(evidence, unsigned_increments=logs)
    if evidence.unsigned_increments:
        yield "no log entries", replace(evidence, unsigned_increments={})
    for words, values in _values(evidence):
        yield words, replace(evidence, unsigned_pcrs=values)
    for whose, other in others:
        yield f"log entries of {whose}", replace(evidence, unsigned_increments=other.unsigned_increments)


def _increments(increment: LogIncrement) -> Iterator[tuple[str, LogIncrement | None]]:
    records, total = increment.records, increment.total
    yield "removed", None
    yield "emptied, with more to come", LogIncrement(records=b"", total=total + _FAR)
    yield "with more to come", LogIncrement(records=records, total=total + 1)
    yield "doubled", LogIncrement(records=records + records, total=total)


def _values(evidence: Evidence) -> Iterator[tuple[str, dict[HashAlgorithm, dict[int, bytes]]]]:
    values = {bank: dict(registers) for bank, registers in evidence.unsigned_pcrs.items()}
    before = values.get(SHA256, {})
    yield "a PCR value that is not quoted", {**values, SHA256: {**before, 23: bytes(32)}}
    if before:
        yield "no PCR values", {}
