"""Reasons about a push: its sender, its signatures, its clock and its place in the sequence."""

from typing import Final

from schemas.reasons.codes import Reason
from schemas.reasons.next_steps import CLOCKS, RESEND, SENDER, TSA, WAIT
from schemas.reasons.row import CONTRADICTED, STALE, UNDECIDED, UNSYNCHRONISED, ReasonRow
from schemas.verdicts import Weight

EVIDENCE: Final = (
    # Sender and signatures; the message is refused, and the state does not move.
    ReasonRow(Reason.UEID_MISMATCH, "a message names another attester than its topic or key", SENDER),
    ReasonRow(
        Reason.ATTESTER_UNENDORSED,
        "no endorsement of this attester's key is known",
        "enrol the device, or see whether its endorsement reaches the verifier",
        lasts=True,
    ),
    ReasonRow(
        Reason.ENDORSEMENT_EXPIRED,
        "the endorsement of this attester's key is no longer valid",
        "renew the endorsement",
        lasts=True,
    ),
    ReasonRow(
        Reason.ENDORSEMENT_REPLACED,
        "the endorsement of this attester's key was replaced, and the verifier has not received the new one",
        "publish the new endorsement",
        lasts=True,
        effect=UNDECIDED,
        listed=True,
    ),
    ReasonRow(
        Reason.ENDORSEMENT_NOT_YET_VALID, "the endorsement of this attester's key is not valid yet", CLOCKS, lasts=True
    ),
    ReasonRow(
        Reason.ATTESTING_KEY_MISMATCH,
        "evidence is signed by another key than the endorsed one",
        "if the device was provisioned again, enrol it again; if not, somebody else uses its name",
    ),
    ReasonRow(Reason.ATTEST_NOT_TPM_GENERATED, "the signed data were not made by a TPM", SENDER),
    ReasonRow(Reason.ATTEST_TYPE_WRONG, "the TPM signed another kind of statement than expected", SENDER),
    ReasonRow(Reason.QUOTE_SIGNATURE_INVALID, "the quote is not signed by the endorsed key", SENDER),
    ReasonRow(Reason.QUOTE_NOT_BOUND_TO_BODY, "the quote was made for other evidence", SENDER),
    ReasonRow(
        Reason.SYNC_SIGNATURE_INVALID, "the clock's binding to a handle is not signed by the endorsed key", SENDER
    ),
    ReasonRow(Reason.LOG_NOT_BOUND_TO_BODY, "log entries are not those that the evidence names", SENDER),
    ReasonRow(
        Reason.EVIDENCE_REPLAYED,
        "old evidence was repeated, and was refused",
        "nothing if it happened once; else " + SENDER,
    ),
    # The clock.
    ReasonRow(
        Reason.CLOCK_EPOCH_MISMATCH,
        "the device's clock was reset or suspended since it was bound to a handle",
        WAIT,
        lasts=True,
        effect=UNSYNCHRONISED,
    ),
    ReasonRow(
        Reason.CLOCK_RAN_BACK,
        "the TPM's clock or counters went back, which cannot happen to a real TPM",
        "examine the device: an emulated TPM that was restored from a snapshot looks like this",
        lasts=True,
        effect=CONTRADICTED,
    ),
    ReasonRow(
        Reason.CLOCK_UNSAFE,
        "the TPM reports that its clock may have lost time in a power cut",
        WAIT,
        lasts=True,
        reported_only=True,
        least_weight=Weight.REPORTED,
    ),
    ReasonRow(
        Reason.CLOCK_AHEAD_OF_VERIFIER,
        "by the device's clock the quote was made in the verifier's future",
        CLOCKS + "; if both are right, the device's TPM clock was set forward",
        lasts=True,
        effect=CONTRADICTED,
    ),
    ReasonRow(
        Reason.CLOCK_TOO_FAST,
        "the device's clock runs faster than the policy allows, so it is not used to compute ages",
        "compare the rate with other devices of the model; widen the policy's drift only if all of them run so fast",
        lasts=True,
        effect=UNSYNCHRONISED,
    ),
    ReasonRow(
        Reason.CLOCK_TOO_SLOW,
        "the device's clock runs slower than the policy expects; its evidence looks older than it is",
        "compare the rate with other devices of the model",
        lasts=True,
        reported_only=True,
        least_weight=Weight.REPORTED,
    ),
    ReasonRow(
        Reason.CLOCK_SET,
        "the TPM's clock was set forward",
        "examine the device: only the owner of its TPM can do this",
        lasts=True,
        effect=CONTRADICTED,
    ),
    ReasonRow(
        Reason.SYNC_STAMP_INVALID,
        "the time stamp on the clock's binding is not valid, and is ignored",
        TSA,
        reported_only=True,
    ),
    ReasonRow(
        Reason.EVIDENCE_TOO_OLD,
        "the evidence, or the handle that it is bound to, may be older than the policy allows",
        "see whether the device is connected and gets new handles",
        lasts=True,
        effect=STALE,
    ),
    ReasonRow(
        Reason.EVIDENCE_OVERDUE,
        "no evidence arrived from the device in time",
        "see whether the device runs and reaches the broker",
        lasts=True,
        effect=STALE,
    ),
    # Continuity of the sequence of pushes.
    ReasonRow(
        Reason.BASELINE_REQUIRED,
        "the verifier needs everything from the beginning of this boot",
        RESEND,
        lasts=True,
        effect=UNDECIDED,
    ),
    ReasonRow(Reason.SEQUENCE_GAP, "a push is missing between two that arrived", RESEND, lasts=True, effect=UNDECIDED),
    ReasonRow(Reason.LOG_GAP, "entries of a log are missing between two pushes", RESEND, lasts=True, effect=UNDECIDED),
    ReasonRow(
        Reason.LOG_INCOMPLETE,
        "a long log is still on its way",
        "wait: the entries come in several messages",
        lasts=True,
        effect=UNDECIDED,
    ),
)
