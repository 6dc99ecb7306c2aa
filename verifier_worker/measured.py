"""What newly replayed log entries add to the picture of a boot: who extended which PCR, which files are unexpected."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from schemas.errors import PeerError
from schemas.hashes import SHA256
from schemas.ima_log import ImaFile
from schemas.limits import MAX_UNEXPECTED_LISTED
from schemas.log_replay import Consumed, ReplayState
from schemas.pcr import PcrSelection, PcrValues, initial_value
from schemas.reasons import Reason
from verifier_worker.measured_events import events_to_judge
from verifier_worker.state import Measured
from verifier_worker.trust import References

BOOT_AGGREGATE = b"boot_aggregate"
_AGGREGATED_PCRS = range(10)  # ima_crypto.c, ima_calc_boot_aggregate_tfm: PCRs 0-7, and 8-9 unless SHA-1
_MAX_PATH_CHARACTERS = 256


def measure(
    measured: Measured,
    consumed: Mapping[str, Consumed],
    state: ReplayState,
    unlogged: PcrValues,
    references: References,
    selection: PcrSelection,
    explained: Mapping[str, frozenset[int]],
) -> Measured:
    """Adds the entries of one push.

    Args:
        measured: before it.
        consumed: the entries, by log.
        state: the replay after them; the boot aggregate is computed from it.
        unlogged: values of PCRs that no log explains.
        references: the acceptable files.
        selection: what the quote covers; entries of other PCRs are nobody's word and are passed over.
        explained: PCRs by log, of the policy; entries of CEL logs are judged for these.

    Raises:
        PeerError: ``log-malformed`` when an IMA entry does not parse, or is of an unknown template: a template's name
            is bound by no PCR, so whoever carried the entry may have changed it.
    """
    measured = replace(measured, owners=_owners(measured.owners, consumed))
    registers = frozenset(selection)
    quoted = {index for _, index in registers}
    for name, part in consumed.items():
        for digests, text in events_to_judge(name, part, registers, explained):
            if not any(digest in references.files for digest in digests):
                measured = _add_unexpected(measured, digests[0], text)
        if part.ima is not None:
            aggregate = _boot_aggregate(state, unlogged)
            for file in part.ima.files(part.count):
                if file.pcr_index in quoted:
                    measured = _add_file(measured, file, references, aggregate)
    return measured


def _owners(owners: Mapping[int, tuple[str, ...]], consumed: Mapping[str, Consumed]) -> dict[int, tuple[str, ...]]:
    owners = dict(owners)
    for name, part in consumed.items():
        touched = {event.pcr_index for event in part.events if event.extended}
        touched.update(record.pcr for record in part.cel if record.extended and record.pcr is not None)
        if part.ima is not None:
            touched.update(part.ima.pcr_indices[: part.count])
        for index in touched:
            if name not in owners.get(index, ()):
                owners[index] = tuple(sorted((*owners.get(index, ()), name)))
    return owners


def _add_file(measured: Measured, file: ImaFile, references: References, aggregate: bytes) -> Measured:
    if file.digest is None:
        return replace(measured, violations=measured.violations + 1)
    if not file.digest:
        raise PeerError(Reason.LOG_MALFORMED, "IMA list: an entry of an unknown template")
    if file.digest in references.files or (file.path == BOOT_AGGREGATE and file.digest == aggregate):
        return measured
    return _add_unexpected(measured, file.digest, file.path.decode("utf-8", "backslashreplace"))


def _add_unexpected(measured: Measured, digest: bytes, text: str) -> Measured:
    unexpected = measured.unexpected
    if len(unexpected) < MAX_UNEXPECTED_LISTED:
        unexpected = (*unexpected, (digest, text[:_MAX_PATH_CHARACTERS]))
    return replace(measured, unexpected=unexpected, unexpected_total=measured.unexpected_total + 1)


def _boot_aggregate(state: ReplayState, unlogged: PcrValues) -> bytes:
    """What IMA's first entry holds: the SHA-256 over the SHA-256 bank's PCRs 0 to 9."""
    owned = state.registers.get(SHA256, {})
    values = (
        owned.get(index) or unlogged.get(SHA256, index) or initial_value(SHA256, index, state.startup_locality)
        for index in _AGGREGATED_PCRS
    )
    return hashlib.sha256(b"".join(values)).digest()
