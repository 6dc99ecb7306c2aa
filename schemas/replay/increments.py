"""What a push brings beside its body: the log entries that are new to us, and the PCR values that its quote speaks of.

All of it is unsigned: it counts once it reproduces the quoted PCR digest. Verifiers see to that, and so does whoever
checks a proof later.
"""

from collections.abc import Mapping
from typing import Final

from schemas.boot_log import records as boot_records
from schemas.cel import in_cbor as cel_cbor
from schemas.errors import PeerError
from schemas.ima import records as ima_records
from schemas.limits import MAX_MESSAGE_BYTES
from schemas.messages.evidence import Evidence
from schemas.reasons import Reason
from schemas.replay.log_replay import Replayed, ReplayState
from schemas.tpm.pcr import PcrSelection, PcrValues

MAX_JOINED_BYTES: Final = 2 * MAX_MESSAGE_BYTES
NO_VALUES: Final = PcrValues({})


def join_increments(
    replay: ReplayState, tails: Mapping[str, bytes], evidence: Evidence
) -> tuple[dict[str, bytes], str | None]:
    """The entries to replay by log: those beyond the last quote that the body counts as sent, then this push's.

    Where an increment starts is signed. Entries that came beyond an earlier quote fill the space before it and no more,
    so what somebody on the way appended is replaced by what the attester sends for the same place.

    Args:
        replay: up to the last quote.
        tails: entries beyond it, by log.
        evidence: the push.

    Returns:
        The entries, and the name of a log whose increment starts after what we have, if there is one.

    Raises:
        PeerError: ``log-malformed``, ``too-large``.
    """
    joined: dict[str, bytes] = {}
    for name, start in evidence.body.logs.items():
        increment, have = evidence.unsigned_increments.get(name), replay.next_index.get(name, 0)
        records = increment.records if increment is not None else b""
        if start > have:
            tail = _split(name, tails[name], replay) if name in tails else ()
            if len(tail) < start - have:
                return {}, name
            records = b"".join(tail[: start - have]) + records
        elif start < have and records:
            records = b"".join(_split(name, records, replay, from_start=start == 0)[have - start :])
        if len(records) > MAX_JOINED_BYTES:
            raise PeerError(Reason.TOO_LARGE, f"log {name}: more than {MAX_JOINED_BYTES} bytes beyond the quote")
        if records:
            joined[name] = records
    return joined, None


def _split(name: str, data: bytes, replay: ReplayState, *, from_start: bool = False) -> tuple[bytes, ...]:
    match name.partition("/")[0]:
        case "ima":
            return ima_records.split_records(data)[0]
        case "cel":
            return cel_cbor.split_records(data)[0]
        case _:
            pass
    return boot_records.split_records(data, None if from_start else replay.boot_log_format).records


def cut_tails(increments: Mapping[str, bytes], outcome: Replayed) -> dict[str, bytes]:
    """What is left of each increment beyond the entries that the quote covers."""
    rest = {name: data[outcome.consumed[name].size :] for name, data in increments.items()}
    return {name: data for name, data in rest.items() if data}


def select_values(evidence: Evidence, selection: PcrSelection) -> PcrValues:
    """The unsigned PCR values that the quote speaks of; whoever carried the push may have added others."""
    if not evidence.unsigned_pcrs:
        return NO_VALUES
    return PcrValues(
        {
            bank: {index: value for index, value in values.items() if (bank, index) in selection}
            for bank, values in evidence.unsigned_pcrs.items()
        }
    )


def read_totals(evidence: Evidence, delivered: Mapping[str, int]) -> Mapping[str, int]:
    """How many entries of each log there are, by the word of whoever carried this push.

    Raises:
        PeerError: ``malformed`` when there are fewer than it delivered.
    """
    totals = {name: increment.total for name, increment in evidence.unsigned_increments.items()}
    for name, total in totals.items():
        if total < delivered.get(name, 0):
            raise PeerError(Reason.MALFORMED, f"log {name}: {delivered[name]} entries of {total}")
    return totals
