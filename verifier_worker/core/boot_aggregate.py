"""Judges boot aggregates: the digest of the first PCRs with which the kernel begins its IMA list."""

from dataclasses import replace

from schemas.hashes import BY_NAME, SHA1
from schemas.ima.template import BOOT_AGGREGATE
from schemas.replay.log_replay import ReplayState
from schemas.tpm.pcr import PcrSelection, PcrValues, initial_value
from verifier_worker.core.measured_files import add_unexpected
from verifier_worker.core.state import Measured


def judge_aggregates(measured: Measured, state: ReplayState, unlogged: PcrValues, selection: PcrSelection) -> Measured:
    """Judges the boot aggregates that wait for a quote, now that one has settled the PCR values in them.

    Args:
        measured: with entries that claim to be boot aggregates.
        state: the replay that reproduced the quote.
        unlogged: PCR values that reproduced it.
        selection: PCRs that the quote covers.
    """
    waiting = measured.aggregates
    measured = replace(measured, aggregates=())
    for label, digest in waiting:
        agrees = _boot_aggregate_agrees(label, digest, state, unlogged, selection)
        if agrees is None and (label, digest) == measured.first_aggregate:
            measured = replace(measured, aggregate_unverified=True)
        elif agrees is None:
            measured = add_unexpected(measured, digest, BOOT_AGGREGATE.decode())
        elif not agrees:
            measured = replace(measured, aggregate_differs=True)
    return measured


def _boot_aggregate_agrees(
    label: bytes, digest: bytes, state: ReplayState, unlogged: PcrValues, selection: PcrSelection
) -> bool | None:
    """Whether the digest is the digest of the first PCRs in the bank that its label names.

    A kernel started by kexec continues the list and adds its own aggregate over the same PCRs. Kernels since 5.8 take
    PCRs 0-9, older ones 0-7; in the SHA-1 bank it is always 0-7 (ima_crypto.c, ima_calc_boot_aggregate_tfm; some older
    than 5.8 take 0-7 in the SHA-256 bank, too).

    Returns:
        None if the quote does not cover these PCRs in this bank. Then nothing proves their values. The first entry of a
        list is a boot aggregate that nobody can verify. A later one, unless it repeats the first, is a file that has
        this name, and unexpected.
    """
    bank = BY_NAME.get(label.rpartition(b":")[2].decode("ascii", "replace"))
    if bank is None:
        return None
    least, most = 8, 8 if bank == SHA1 else 10
    owned, values = state.registers.get(bank, {}), []
    for index in range(most):
        if (bank, index) not in selection:
            break
        value = owned.get(index) or unlogged.get(bank, index)
        values.append(value or initial_value(bank, index, state.startup_locality))
    if len(values) >= least and digest in {bank.digest(b"".join(values[:size])) for size in (least, len(values))}:
        return True
    return False if len(values) == most else None
