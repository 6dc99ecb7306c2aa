"""What newly replayed log entries add to the picture of a boot: who extended which PCR, which files are unexpected."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from schemas.boot_facts import IMAGES_PCR, SECURE_BOOT_PCR, VERSION_PCR, SecureBoot
from schemas.errors import PeerError
from schemas.hashes import SHA256, HashAlgorithm
from schemas.ima_log import TEMPLATE_IMA, ImaFile
from schemas.limits import MAX_UNEXPECTED_LISTED
from schemas.log_replay import IMA, Consumed, ReplayState
from schemas.pcr import PcrSelection, PcrValues, initial_value
from schemas.reasons import Reason
from schemas.tcg2_log import Tcg2Event
from verifier_worker.state import Measured
from verifier_worker.trust import References

BOOT_AGGREGATE = b"boot_aggregate"
_AGGREGATED_PCRS = range(10)  # ima_crypto.c, ima_calc_boot_aggregate_tfm: PCRs 0-7, and 8-9 unless SHA-1
_MAX_PATH_CHARACTERS = 256


def measure(
    measured: Measured,
    consumed: Mapping[str, Consumed],
    before: ReplayState,
    state: ReplayState,
    unlogged: PcrValues,
    references: References,
    selection: PcrSelection,
) -> Measured:
    """Adds the entries of one push.

    Args:
        measured: before it.
        consumed: the entries, by log.
        before: the replay before them.
        state: the replay after them; the boot aggregate is computed from it.
        unlogged: values of PCRs that no log explains.
        references: the acceptable files.
        selection: the PCRs that the policy requires in every quote; entries of others are nobody's word and are passed
            over.

    Raises:
        PeerError: ``log-malformed`` when an IMA entry does not parse, or is of an unknown template: a template's name
            is bound by no PCR, so whoever carried the entry may have changed it.
    """
    owners = dict(measured.owners)
    for name, part in consumed.items():
        touched = {event.pcr_index for event in part.events if event.extended and _in_all_banks(event, state)}
        if part.ima is not None:
            touched.update(part.ima.pcr_indices[: part.count])
        for index in touched:
            if name not in owners.get(index, ()):
                owners[index] = tuple(sorted((*owners.get(index, ()), name)))
    events = [event for part in consumed.values() for event in part.events]
    boot = measured.boot.after(events, state.banks) if events else measured.boot
    measured = replace(measured, owners=owners, boot=boot)
    quoted = {index for _, index in selection}
    aggregated = all((SHA256, index) in selection for index in _AGGREGATED_PCRS)
    for part in consumed.values():
        if part.ima is not None:
            if TEMPLATE_IMA in part.ima.template_names[: part.count]:
                raise PeerError(Reason.LOG_MALFORMED, "IMA list: an entry of template ima, whose digests are SHA-1")
            first = not before.next_index.get(IMA) and aggregated
            aggregate = _boot_aggregate(state, unlogged) if first else None
            for file in part.ima.files(part.count):
                if file.pcr_index in quoted:
                    measured = _add_file(measured, file, references, aggregate)
                aggregate = None  # only the list's first entry can be the boot aggregate
    return measured


def _in_all_banks(event: Tcg2Event, state: ReplayState) -> bool:
    """Whether an event extended every bank we replay: one that did not explains nothing."""
    return {bank.tpm_id for bank in state.banks} <= {tpm_id for tpm_id, _ in event.digests}


def verify_claims(
    measured: Measured, banks: Sequence[HashAlgorithm], selection: PcrSelection
) -> Mapping[str, str | int | bool]:
    """What the PCRs of a quote vouch for.

    Args:
        measured: from logs whose replay reproduced the quote.
        banks: the banks replayed.
        selection: of that quote: a PCR that it lacks in one of the banks vouches for nothing.
    """
    boot = measured.boot
    claims: dict[str, str | int | bool] = {}
    if boot.version and _quoted(VERSION_PCR, banks, selection):
        claims["firmware-version"] = boot.version
    if boot.secure_boot is not SecureBoot.UNKNOWN and _quoted(SECURE_BOOT_PCR, banks, selection):
        claims["secure-boot"] = boot.secure_boot
    if boot.images and _quoted(IMAGES_PCR, banks, selection):
        strongest = max(banks, key=lambda bank: bank.size)
        claims["boot-images"] = ",".join(f"{strongest.name}:{digest.hex()}" for digest in boot.images)
        claims["boot-images-total"] = boot.images_total
    return claims


def _quoted(index: int, banks: Sequence[HashAlgorithm], selection: PcrSelection) -> bool:
    return all((bank, index) in selection for bank in banks)


def _add_file(measured: Measured, file: ImaFile, references: References, aggregate: bytes | None) -> Measured:
    if file.digest is None:
        return replace(measured, violations=measured.violations + 1)
    if not file.digest:
        raise PeerError(Reason.LOG_MALFORMED, "IMA list: an entry of an unknown template")
    if file.digest in references.files or (file.path == BOOT_AGGREGATE and file.digest == aggregate):
        return measured
    unexpected = measured.unexpected
    if len(unexpected) < MAX_UNEXPECTED_LISTED:
        path = file.path.decode("utf-8", "backslashreplace")[:_MAX_PATH_CHARACTERS]
        unexpected = (*unexpected, (file.digest, path))
    return replace(measured, unexpected=unexpected, unexpected_total=measured.unexpected_total + 1)


def _boot_aggregate(state: ReplayState, unlogged: PcrValues) -> bytes:
    """What IMA's first entry holds: the SHA-256 over the SHA-256 bank's PCRs 0 to 9."""
    owned = state.registers.get(SHA256, {})
    values = (
        owned.get(index) or unlogged.get(SHA256, index) or initial_value(SHA256, index, state.startup_locality)
        for index in _AGGREGATED_PCRS
    )
    return hashlib.sha256(b"".join(values)).digest()
