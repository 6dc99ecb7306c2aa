"""Adds newly replayed log entries to the measurements of a boot: which log extended which PCR, unexpected files."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from schemas.boot_log.facts import IMAGES_PCR, SECURE_BOOT_PCR, VERSION_PCR, SecureBoot
from schemas.errors import PeerError
from schemas.hashes import HashAlgorithm
from schemas.ima.records import ImaFile, ImaRecords
from schemas.ima.signature import verify_file_signature
from schemas.ima.template import BOOT_AGGREGATE, BUILT_IN_TEMPLATES, TEMPLATE_IMA
from schemas.limits import MAX_UNEXPECTED_LISTED
from schemas.reasons import Reason
from schemas.replay.log_replay import TCG2, Consumed, ReplayState
from schemas.tpm.pcr import PcrSelection
from verifier_worker.core.measured_events import MAX_NAME_CHARACTERS, events_to_judge
from verifier_worker.core.policy.policy_file import is_excluded
from verifier_worker.core.state import Measured, Register
from verifier_worker.core.trust import References

_MAX_AGGREGATES: Final = 8  # kernels started by kexec add one each
_MAX_DIGEST_FIELD: Final = 128  # bytes of a labelled digest: "verity:sha512:", a NUL, and 64


def measure(
    measured: Measured,
    consumed: Mapping[str, Consumed],
    state: ReplayState,
    references: References,
    selection: PcrSelection,
    explained: Mapping[str, frozenset[int]],
    excluded: re.Pattern[str] | None = None,
    doubted: Collection[bytes] = (),
) -> Measured:
    """Adds the entries of one push.

    Args:
        measured: before the push.
        consumed: the entries, by log.
        state: the replay after them.
        references: the acceptable files.
        selection: the PCRs that the policy requires in every quote. Entries of other PCRs are unproven and ignored.
        explained: the policy's PCRs, by log. Entries of CEL logs are judged if their PCR is listed here.
        excluded: paths in the IMA list that need no reference value.
        doubted: digests of files that were found unexpected earlier in this boot.

    Raises:
        PeerError: ``log-malformed``: an IMA entry does not parse, or its template is unknown. No PCR binds a template's
            name, so anyone who carried the entry may have changed it.
    """
    events = [event for part in consumed.values() for event in part.events]
    boot = measured.boot.after(events, state.banks) if events else measured.boot
    measured = replace(measured, owners=_owners(measured.owners, consumed, state), boot=boot)
    registers = frozenset(selection)
    quoted = {index for _, index in registers}
    for name, part in consumed.items():
        for digests, text in events_to_judge(name, part, registers, explained):
            if not any(digest in references.files for digest in digests):
                measured = add_unexpected(measured, digests[0], text)
        if part.ima is not None:
            _refuse_disguised(part.ima, part.count)
            for template, file in zip(part.ima.template_names, part.ima.files(part.count), strict=False):
                if file.pcr_index in quoted and file.digest not in references.files:
                    measured = _add_unlisted(measured, file, template, references, excluded)
                    if file.digest and file.digest in doubted and _is_signed(file, references):
                        measured = replace(measured, accepted=tuple({*measured.accepted, file.digest}))
    return measured


def _refuse_disguised(records: ImaRecords, count: int) -> None:
    """Refuses an entry that claims template ``ima`` but has the data of another template.

    No PCR binds a template's name, and the 276 bytes that ``ima`` hashes can be the data of an ``ima-ng`` entry with a
    path of 227 characters. Anyone who carries an entry could make an unknown file of it.

    Raises:
        PeerError: ``log-malformed``.
    """
    for name, data in zip(records.template_names[:count], records.hashed, strict=False):
        if name == TEMPLATE_IMA and int.from_bytes(data[:4], "little") < _MAX_DIGEST_FIELD and b":\0" in data[4:24]:
            raise PeerError(Reason.LOG_MALFORMED, "IMA list: an entry of another template, called ima")


def _owners(
    owners: Mapping[Register, tuple[str, ...]], consumed: Mapping[str, Consumed], state: ReplayState
) -> dict[Register, tuple[str, ...]]:
    """By bank and PCR, the logs that extended it."""
    owners, banks = dict(owners), {bank.tpm_id for bank in state.banks}
    for name, part in consumed.items():
        touched = {(bank, event.pcr_index) for event in part.events if event.extended for bank, _ in event.digests}
        touched |= {
            (bank, record.pcr)
            for record in part.cel
            if record.extended and record.pcr is not None
            for bank, _ in record.digests
        }
        if part.ima is not None:  # the kernel extends every bank
            indices = set(part.ima.pcr_indices[: part.count])
            touched |= {(bank, index) for bank in banks for index in indices}
        for register in touched:
            if register[0] in banks and name not in owners.get(register, ()):
                owners[register] = tuple(sorted((*owners.get(register, ()), name)))
    return owners


def verify_claims(
    measured: Measured, banks: Sequence[HashAlgorithm], selection: PcrSelection
) -> Mapping[str, str | int | bool]:
    """The claims that quoted PCRs vouch for.

    Args:
        measured: from logs whose replay reproduced the quote.
        banks: the banks replayed.
        selection: PCRs that the quote covers.
    """
    boot = measured.boot
    claims: dict[str, str | int | bool] = {}
    if boot.version and boot_log_vouches(measured, banks, selection, VERSION_PCR):
        claims["firmware-version"] = boot.version
    if boot.secure_boot is not SecureBoot.UNKNOWN and boot_log_vouches(measured, banks, selection, SECURE_BOOT_PCR):
        claims["secure-boot"] = boot.secure_boot
    if boot.images and not boot.images_unknown and boot_log_vouches(measured, banks, selection, IMAGES_PCR):
        strongest = max(banks, key=lambda bank: bank.size)
        claims["boot-images"] = ",".join(f"{strongest.name}:{digest.hex()}" for digest in boot.images)
        claims["boot-images-total"] = boot.images_total
    return claims


def boot_log_vouches(measured: Measured, banks: Sequence[HashAlgorithm], selection: PcrSelection, index: int) -> bool:
    """Whether a PCR proves a fact of the boot log: in every bank the quote covers it, and only this log extended it."""
    return all((bank, index) in selection and measured.owners.get((bank.tpm_id, index)) == (TCG2,) for bank in banks)


def _add_unlisted(
    measured: Measured, file: ImaFile, template: bytes, references: References, excluded: re.Pattern[str] | None
) -> Measured:
    if file.digest is None:
        return replace(measured, violations=measured.violations + 1)
    if not file.digest:
        raise PeerError(Reason.LOG_MALFORMED, "IMA list: an entry of an unknown template")
    if template not in BUILT_IN_TEMPLATES:
        # Under another list of fields the same bytes can lose their path or signature, so only listed files are taken.
        raise PeerError(
            Reason.LOG_MALFORMED, "IMA list: an unlisted file in a custom template, whose name no PCR binds"
        )
    if file.path == BOOT_AGGREGATE and len(measured.aggregates) < _MAX_AGGREGATES:
        return replace(measured, aggregates=(*measured.aggregates, (file.label, file.digest)))
    if _is_signed(file, references):
        return measured
    path = file.path.decode("utf-8", "backslashreplace")
    if is_excluded(excluded, path):
        return replace(measured, excluded=measured.excluded + 1)
    return add_unexpected(measured, file.digest, path)


def _is_signed(file: ImaFile, references: References) -> bool:
    """By a key that the reference values name; a file that is not is a file like any other."""
    if not file.signature or not file.digest or not references.keys:
        return False
    try:
        verify_file_signature(file.signature, file.label, file.digest, references.keys)
    except PeerError:
        return False
    return True


def add_unexpected(measured: Measured, digest: bytes, text: str) -> Measured:
    """Adds one measured thing that no reference value covers; the first ones are named, all are counted."""
    unexpected = measured.unexpected
    if len(unexpected) < MAX_UNEXPECTED_LISTED:
        unexpected = (*unexpected, (digest, text[:MAX_NAME_CHARACTERS]))
    return replace(measured, unexpected=unexpected, unexpected_total=measured.unexpected_total + 1)
