"""What each reason code means, for people who read a page: one sentence, and which claims of the vector it is about.

Pure data. ``docs/threat-model.md`` says which attack each code answers; the verifier alone decides what a code does to
a result. A claim named here is only where the page shows the sentence.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from schemas.reasons import Reason
from schemas.result import TrustClaim


class Words(NamedTuple):
    """A sentence, and the labels of the trustworthiness claims that it can be the reason for; none: of all."""

    text: str
    claims: tuple[str, ...] = ()


_CONFIGURATION: Final = (TrustClaim.CONFIGURATION.label,)
_EXECUTABLES: Final = (TrustClaim.EXECUTABLES.label,)
_BOOT: Final = (*_CONFIGURATION, *_EXECUTABLES)
_FILES: Final = (*_EXECUTABLES, TrustClaim.FILE_SYSTEM.label)

_WORDS: Final = {
    Reason.TOO_LARGE: Words("The message is larger than any true one may be."),
    Reason.MALFORMED: Words("The bytes are not what this topic carries; they were not read any further."),
    Reason.UNKNOWN_MEDIA_TYPE: Words("The message says that it is of another kind than this topic carries."),
    Reason.HANDLE_SIGNATURE_INVALID: Words("The handle was not signed by a distributor that is believed here."),
    Reason.HANDLE_STAMP_INVALID: Words("The time stamp in the handle does not lead to a trusted TSA."),
    Reason.HANDLE_STAMP_IMPRINT_MISMATCH: Words("The time stamp in the handle belongs to other bytes."),
    Reason.HANDLE_TIME_INCONSISTENT: Words("The times in the handle contradict one another."),
    Reason.HANDLE_EXPIRED: Words("The evidence was bound to a handle that had expired when it came."),
    Reason.HANDLE_FROM_FUTURE: Words("The handle was stamped later than the receiver's clock."),
    Reason.HANDLE_NOT_NEWER: Words("The handle is not newer than the one already known."),
    Reason.HANDLE_UNKNOWN: Words(
        "The verifier has not seen the handle yet that the evidence is bound to: undecided until it comes."
    ),
    Reason.HANDLE_OVERDUE: Words("No new handle came in time."),
    Reason.HANDLE_CHAIN_GAP: Words("The handle names a predecessor that was not seen here. Normal after an absence."),
    Reason.HANDLE_CHAIN_FORKED: Words(
        "Two handles claim the same place in the chain: a distributor's key is used twice. Find out by whom."
    ),
    Reason.HANDLE_STAMP_NOT_FOR_TIME_STAMPING: Words("The handle was stamped by a certificate that is not for time."),
    Reason.TSA_UNREACHABLE: Words("The Time Stamp Authority could not be reached."),
    Reason.TSA_TIMEOUT: Words("The Time Stamp Authority did not answer in time."),
    Reason.TSA_REFUSED: Words("The Time Stamp Authority refused to stamp."),
    Reason.TSA_MALFORMED: Words("The Time Stamp Authority answered something that is no time stamp."),
    Reason.TSA_IMPRINT_MISMATCH: Words("The Time Stamp Authority stamped other bytes than it was asked to."),
    Reason.TSA_NONCE_MISMATCH: Words("The Time Stamp Authority repeated an answer to somebody else's question."),
    Reason.TSA_UNTRUSTED: Words("The stamp does not lead to a trusted root."),
    Reason.TSA_CLOCK_OFF: Words("The clock of the Time Stamp Authority is off."),
    Reason.TSA_DISAGREE: Words("The Time Stamp Authorities do not agree about the time."),
    Reason.OBJECT_SIGNATURE_INVALID: Words("Not signed by an endorser or verifier that is believed."),
    Reason.OBJECT_ROLLED_BACK: Words("A true message of before, published again. What came after it still stands."),
    Reason.OBJECT_MISDIRECTED: Words("The signed object is about something else than its topic."),
    Reason.RESULT_SIGNATURE_INVALID: Words(
        "The result was not signed by a verifier that is believed here, or it was changed after it was signed."
    ),
    Reason.RESULT_NOT_YET_VALID: Words("The result was issued in our future."),
    Reason.RESULT_EXPIRED: Words("The result has expired and no newer one came: nothing is known about now."),
    Reason.RESULT_OF_ANOTHER_ATTESTER: Words("A true result, but about another attester than its topic says."),
    Reason.RESULT_HANDLE_MISMATCH: Words("The result is bound to another handle than expected."),
    Reason.RESULT_POLICY_UNKNOWN: Words("The result was made by a policy that does not count."),
    Reason.RESULT_NOT_FRESH: Words("The result says itself that it is not fresh."),
    Reason.RESULT_TOO_OLD: Words("What the result is about lies too far back."),
    Reason.RESULT_PROOF_INVALID: Words("Whoever showed the result did not prove to be the one it is about."),
    Reason.RESULT_MISSING: Words("No result came."),
    Reason.EK_CERTIFICATE_MISSING: Words("The TPM has no certificate of its manufacturer."),
    Reason.EK_CERTIFICATE_UNTRUSTED: Words("The TPM's certificate does not lead to a trusted manufacturer."),
    Reason.EK_CERTIFICATE_UNFIT: Words("The certificate is not one of a TPM."),
    Reason.EK_CERTIFICATE_REVOKED: Words("The manufacturer has revoked the TPM's certificate."),
    Reason.EK_CERTIFICATE_MISMATCH: Words("The certificate belongs to another TPM."),
    Reason.REVOCATION_UNKNOWN: Words("Whether the certificate was revoked could not be found out."),
    Reason.IAK_CERTIFICATE_UNTRUSTED: Words("The device's certificate does not lead to a trusted maker."),
    Reason.IAK_CERTIFICATE_UNFIT: Words("The device's certificate is for something else."),
    Reason.IAK_CERTIFICATE_REVOKED: Words("The device's certificate was revoked."),
    Reason.IAK_CERTIFICATE_TAKEN: Words("The device's certificate belongs to a device already enrolled."),
    Reason.IAK_CERTIFICATION_INVALID: Words("The attesting key was not certified by the device's key."),
    Reason.EK_TEMPLATE_MISMATCH: Words("The TPM's endorsement key may do more than such a key may."),
    Reason.ATTESTING_KEY_UNFIT: Words("The attesting key is not confined to a TPM."),
    Reason.ATTESTING_KEY_REVOKED: Words("The attesting key was revoked."),
    Reason.ACTIVATION_FAILED: Words("The TPM did not prove that the attesting key is in it."),
    Reason.ACTIVATION_REPLAYED: Words("The proof of the attesting key was used before."),
    Reason.ACTIVATION_UNSOLICITED: Words("Nobody had asked for that proof."),
    Reason.CHALLENGE_EXPIRED: Words("The answer to the challenge came too late."),
    Reason.NAME_TAKEN: Words("The name belongs to another device."),
    Reason.ATTESTER_DECOMMISSIONED: Words("The device was taken out of service."),
    Reason.ENROLMENT_PENDING: Words("An operator has to approve the device."),
    Reason.ENROLMENT_REJECTED: Words("An operator has rejected the device."),
    Reason.ENROLMENT_RATE_LIMITED: Words("Too many requests to enrol."),
    Reason.UEID_MISMATCH: Words("The evidence is about another attester than its topic says."),
    Reason.ATTESTER_UNENDORSED: Words("No endorser vouches for this attester's key."),
    Reason.ENDORSEMENT_EXPIRED: Words("The endorsement of this attester's key has expired."),
    Reason.ENDORSEMENT_NOT_YET_VALID: Words("The endorsement of this attester's key is not valid yet."),
    Reason.ATTESTING_KEY_MISMATCH: Words("The evidence was made with another key than the endorsed one."),
    Reason.ATTEST_NOT_TPM_GENERATED: Words("The signed structure was not made by a TPM."),
    Reason.ATTEST_TYPE_WRONG: Words("The TPM signed a structure of another kind than a quote."),
    Reason.QUOTE_SIGNATURE_INVALID: Words("The quote's signature does not verify."),
    Reason.QUOTE_NOT_BOUND_TO_BODY: Words("The quote belongs to other evidence."),
    Reason.SYNC_SIGNATURE_INVALID: Words("The proof that ties the clock to the handle does not verify."),
    Reason.LOG_NOT_BOUND_TO_BODY: Words("The log entries are not those that the evidence names."),
    Reason.EVIDENCE_REPLAYED: Words("Old evidence was sent again."),
    Reason.CLOCK_EPOCH_MISMATCH: Words(
        "The TPM was reset or resumed after its clock was last tied to a handle. Passes with the next handle."
    ),
    Reason.CLOCK_RAN_BACK: Words("The TPM's clock ran back: it, or an emulated TPM, was set back."),
    Reason.CLOCK_UNSAFE: Words("The TPM says that its clock may have lost time, as after a power cut."),
    Reason.CLOCK_AHEAD_OF_VERIFIER: Words("By its clock the quote would have been made after it arrived."),
    Reason.CLOCK_TOO_FAST: Words("The TPM's clock runs faster than it can."),
    Reason.CLOCK_TOO_SLOW: Words("The TPM's clock runs slower than it can. The time of receipt still bounds its age."),
    Reason.CLOCK_SET: Words("Somebody set the TPM's clock forward."),
    Reason.SYNC_STAMP_INVALID: Words("The extra time stamp over the clock's proof was not used."),
    Reason.EVIDENCE_TOO_OLD: Words("The evidence was made longer ago than the policy allows."),
    Reason.EVIDENCE_OVERDUE: Words("No evidence came before the deadline. Late is not bad, but nothing is known."),
    Reason.BASELINE_REQUIRED: Words("The verifier waits for the whole state: the attester was asked to send it."),
    Reason.SEQUENCE_GAP: Words("A push is missing; the attester was asked to send again."),
    Reason.LOG_GAP: Words("Log entries are missing; the attester was asked to send them again."),
    Reason.LOG_INCOMPLETE: Words("The log is still on its way; the entries that came so far are counted below."),
    Reason.POLICY_MISSING: Words("No appraisal policy is for this attester, so nothing can be decided."),
    Reason.REFERENCE_VALUES_MISSING: Words("The policy names reference values that the verifier does not have."),
    Reason.PCR_NOT_QUOTED: Words("The quote leaves out a PCR that the policy asks for."),
    Reason.PCR_VALUES_MISMATCH: Words("The PCR values are not those that the TPM signed."),
    Reason.PCR_UNEXPECTED: Words(
        "A PCR has a value that no reference value covers: other firmware or settings.", _BOOT
    ),
    Reason.LOG_MISSING: Words("A log that the policy asks for did not come."),
    Reason.LOG_MALFORMED: Words("A log does not read."),
    Reason.LOG_REPLAY_MISMATCH: Words("The log does not lead to the PCR values that the TPM signed."),
    Reason.FILE_UNEXPECTED: Words("A file was run or read that no reference value covers.", _FILES),
    Reason.FILE_MEASUREMENT_VIOLATED: Words("A file was written while it was measured.", _FILES),
    Reason.BOOT_AGGREGATE_MISMATCH: Words("The list of files belongs to another boot than the quoted PCRs.", _BOOT),
    Reason.TRANSITION_UNREPORTED: Words("The TPM counts a suspend that the attester did not report.", _CONFIGURATION),
    Reason.SECURE_BOOT_OFF: Words("Secure Boot was off when the machine started.", _CONFIGURATION),
    Reason.TEST_KEYS_ENROLLED: Words("Test keys are enrolled for Secure Boot.", _CONFIGURATION),
    Reason.BOOT_LOADER_UNEXPECTED: Words("Another boot loader was started than the policy allows.", _EXECUTABLES),
    Reason.BOOT_UNKNOWN: Words("How the machine was started could not be read from its PCRs."),
    Reason.POLICY_RULE: Words("A rule of the operator's own policy holds; the list below says which.", _CONFIGURATION),
    Reason.POLICY_RULE_FAILED: Words("A rule of the operator's policy could not be worked out, so nothing is decided."),
    Reason.POLICY_CONFLICT: Words("Two policies claim this attester, so none applies."),
    Reason.POLICY_INVALID: Words("A policy does not read; the one before it stays in force."),
    Reason.REBOOTED: Words("The machine was started anew since the push before. Changes no verdict."),
    Reason.TPM_CLEARED: Words("The TPM was cleared. Changes no verdict."),
    Reason.FIRMWARE_CHANGED: Words("The TPM has other firmware than before. Changes no verdict."),
    Reason.RESUMED: Words("The machine was suspended and resumed. Changes no verdict."),
    Reason.IMA_BANK_PADDED_SHA1: Words("The kernel extends a PCR bank with padded SHA-1: weaker, and told."),
    Reason.HIBERNATED: Words("The machine woke from hibernation. Changes no verdict."),
    Reason.KERNEL_REPLACED: Words("Another kernel was started without a reboot. Changes no verdict."),
    Reason.BROKER_UNREACHABLE: Words("The broker could not be reached."),
    Reason.BROKER_REFUSED: Words("The broker refused the connection."),
    Reason.TPM_UNREACHABLE: Words("The TPM could not be reached."),
    Reason.TPM_BUSY: Words("The TPM was busy."),
    Reason.TPM_LOCKED_OUT: Words("The TPM has locked itself after wrong passwords."),
    Reason.TPM_FATAL: Words("The TPM has failed."),
    Reason.LOG_UNREADABLE: Words("A log could not be read on the device."),
    Reason.STORE_UNAVAILABLE: Words("A disk or database could not be written."),
    Reason.CONFIGURATION_INVALID: Words("A configuration is wrong."),
}
REASON_WORDS: Final[Mapping[Reason, Words]] = MappingProxyType(_WORDS)
