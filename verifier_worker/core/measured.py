"""Adds newly replayed log entries to the measurements of a boot: which log extended which PCR, unexpected files."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from schemas.boot_log.facts import IMAGES_PCR, SECURE_BOOT_PCR, VERSION_PCR, SecureBoot
from schemas.hashes import HashAlgorithm
from schemas.replay.log_replay import IMA, TCG2, Consumed, ReplayState
from schemas.tpm.pcr import PcrSelection
from verifier_worker.core.measured_events import events_to_judge
from verifier_worker.core.measured_files import ListJudge, add_unexpected
from verifier_worker.core.policy.ima_demands import NO_DEMANDS, ImaDemands
from verifier_worker.core.state import Measured, Register
from verifier_worker.core.trust import References


def measure(
    measured: Measured,
    consumed: Mapping[str, Consumed],
    state: ReplayState,
    references: References,
    selection: PcrSelection,
    explained: Mapping[str, frozenset[int]],
    demands: ImaDemands = NO_DEMANDS,
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
        demands: of the policy, on the IMA list.
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
            first = state.next_index.get(IMA, 0) == part.count
            owned = explained.get(IMA, frozenset())
            judge = ListJudge(references=references, quoted=quoted, owned=owned, demands=demands, doubted=doubted)
            measured = judge.with_entries(measured, part.ima, part.count, first=first)
    return measured


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
