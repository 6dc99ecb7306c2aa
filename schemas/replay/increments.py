"""Selects what a push brings beside its body: the log entries that are new here, and the values of the quoted PCRs.

These are unsigned. Verifiers and proof checkers use them only after they have reproduced the quoted PCR digest
(invariant I1).
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
from schemas.replay.log_replay import CEL, IMA, Replayed, ReplayState
from schemas.tpm.pcr import PcrSelection, PcrValues

MAX_JOINED_BYTES: Final = 2 * MAX_MESSAGE_BYTES
NO_VALUES: Final = PcrValues({})


def join_increments(
    replay: ReplayState, tails: Mapping[str, bytes], evidence: Evidence
) -> tuple[dict[str, bytes], str | None]:
    """Collects the entries to replay: for each log the kept tail up to this push's increment, then the increment.

    The body signs where an increment starts. The tail fills the gap before that index and no more. So entries that
    somebody on the way appended to an earlier push are replaced by the attester's own entries for the same indices.

    Args:
        replay: the replay up to the last quote.
        tails: by log, the entries that were delivered but lie beyond the last quote.
        evidence: the push.

    Returns:
        The entries by log, and None; or no entries, and the name of a log that misses entries before its increment.

    Raises:
        PeerError: ``log-malformed``; ``too-large`` when a log has more than ``MAX_JOINED_BYTES`` beyond the quote.
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
        elif start < have:
            records = b"".join(_split(name, records, replay, from_start=start == 0)[have - start :])
        if len(records) > MAX_JOINED_BYTES:
            raise PeerError(Reason.TOO_LARGE, f"log {name}: more than {MAX_JOINED_BYTES} bytes beyond the quote")
        if records:
            joined[name] = records
    return joined, None


def _split(name: str, data: bytes, replay: ReplayState, *, from_start: bool = False) -> tuple[bytes, ...]:
    kind = name.partition("/")[0]
    if kind == IMA:
        return ima_records.split_records(data)[0]
    if kind == CEL:
        return cel_cbor.split_records(data)[0]
    return boot_records.split_records(data, None if from_start else replay.boot_log_format).records


def cut_tails(increments: Mapping[str, bytes], outcome: Replayed) -> dict[str, bytes]:
    """The part of each increment that lies beyond the quote; logs without such a part are left out."""
    rest = {name: data[outcome.consumed[name].size :] for name, data in increments.items()}
    return {name: data for name, data in rest.items() if data}


def quoted_values(evidence: Evidence, selection: PcrSelection) -> PcrValues:
    """The unsigned PCR values of a push, all of them of PCRs that the quote covers: it binds them together.

    Raises:
        PeerError: ``pcr-values-mismatch`` when there is a value that the quote cannot bind.
    """
    for bank, values in evidence.unsigned_pcrs.items():
        for index in values:
            if (bank, index) not in selection:
                raise PeerError(Reason.PCR_VALUES_MISMATCH, f"PCR {bank.name}:{index}: a value, and no quote of it")
    return PcrValues(evidence.unsigned_pcrs)


def has_more(evidence: Evidence, delivered: Mapping[str, int]) -> bool:
    """Whether the push says that entries are still to come.

    Unsigned: it can only delay the refusal of a push that does not reproduce its quote, never stop one that does.

    Raises:
        PeerError: ``malformed`` when there are fewer entries than it delivered.
    """
    increments = evidence.unsigned_increments
    missing = {name: increment.total - delivered.get(name, 0) for name, increment in increments.items()}
    for name, count in missing.items():
        if count < 0:
            raise PeerError(Reason.MALFORMED, f"log {name}: {delivered[name]} entries of {increments[name].total}")
    return any(missing.values())
