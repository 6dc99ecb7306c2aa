"""Reason codes in words: what each means, and what to do next. For people; no program decides anything by it.

Promises: every code of :class:`~schemas.reasons.Reason` has a text, and a code that this version does not know (a newer
verifier's) gets one that says so. A text claims no more than ``docs/threat-model.md`` says its check proves.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from schemas.reasons import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonText:
    """A reason for people.

    Attributes:
        meaning: what it says, a sentence without a full stop.
        next_step: what to do about it, likewise; what to look at first.
    """

    meaning: str
    next_step: str


_SENDER: Final = "find out who writes to this topic; the broker's access list says who may"
_CLOCKS: Final = "compare this machine's clock with a time server, then the sender's"
_KEYS: Final = "compare the key files configured here with the public key of who signs"
_WAIT: Final = "nothing: the next push settles it; if it stays, look at the agent's log"
_RESEND: Final = "nothing: the verifier has asked for it again; if it stays, look at the agent's log"
_ENROL: Final = "look at the request with `endorser pending`, and at what was delivered with the device"
_DISTRIBUTOR: Final = "look at the handle distributor's log, and whether its messages reach the device and the verifier"
_TSA: Final = "look at the Time Stamp Authority, and name a second one in the distributor's settings"
_IMAGE: Final = (
    "compare with the approved image; if the change was yours, publish new reference values, else isolate the device"
)
_BOOT: Final = "compare the boot log with the approved one; if the change was yours, publish new reference values"
_LOG_COPY: Final = "compare with another copy of the log, with `audit fsck`, and with what witnesses have signed"
_POLICY: Final = "look at the policy; `verifier-worker appraise` tries one on recorded evidence"

_TEXTS: Final[Mapping[Reason, tuple[str, str]]] = {
    Reason.TOO_LARGE: ("a message is larger than anything of its kind may be", _SENDER),
    Reason.MALFORMED: ("a message is not of the form it should have", _SENDER),
    Reason.UNKNOWN_MEDIA_TYPE: ("a message is of a kind that does not belong on its topic", _SENDER),
    # Handles.
    Reason.HANDLE_SIGNATURE_INVALID: ("a handle is not signed by a trusted distributor", _KEYS),
    Reason.HANDLE_STAMP_INVALID: ("a handle's time stamp is not by a trusted Time Stamp Authority", _TSA),
    Reason.HANDLE_STAMP_IMPRINT_MISMATCH: ("a handle carries the time stamp of something else", _DISTRIBUTOR),
    Reason.HANDLE_TIME_INCONSISTENT: ("the times in a handle do not agree with its time stamp", _DISTRIBUTOR),
    Reason.HANDLE_EXPIRED: ("the handle had expired when it was used or received", _DISTRIBUTOR),
    Reason.HANDLE_FROM_FUTURE: ("a handle's time lies in the receiver's future", _CLOCKS),
    Reason.HANDLE_NOT_NEWER: (
        "a handle is not newer than the one held",
        "nothing: an old message came again, and is ignored",
    ),
    Reason.HANDLE_UNKNOWN: (
        "the verifier does not know the handle that the evidence is bound to, so nothing is known of its age",
        "nothing: it settles when the handle comes; if it stays, see whether handles reach the verifier",
    ),
    Reason.HANDLE_OVERDUE: ("no new handle came in time", _DISTRIBUTOR),
    Reason.HANDLE_CHAIN_GAP: (
        "handles are missing between two that came",
        "nothing after an absence; else see who drops messages",
    ),
    Reason.HANDLE_CHAIN_FORKED: (
        "two handles follow the same one: the distributor's key is used twice",
        "find the second user of the distributor's key; replace the key if nobody of yours has it",
    ),
    Reason.HANDLE_STAMP_NOT_FOR_TIME_STAMPING: (
        "a handle is stamped by a certificate that is for something else",
        "ask the operator of the Time Stamp Authority; treat the handle's source as hostile until answered",
    ),
    # Time Stamp Authorities.
    Reason.TSA_UNREACHABLE: ("the Time Stamp Authority cannot be reached", _TSA),
    Reason.TSA_TIMEOUT: ("the Time Stamp Authority did not answer in time", _TSA),
    Reason.TSA_REFUSED: ("the Time Stamp Authority refused to stamp", _TSA),
    Reason.TSA_MALFORMED: ("the Time Stamp Authority's answer is not of the form it should have", _TSA),
    Reason.TSA_IMPRINT_MISMATCH: ("the Time Stamp Authority stamped something else than was asked", _TSA),
    Reason.TSA_NONCE_MISMATCH: ("the Time Stamp Authority's answer is to another question", _TSA),
    Reason.TSA_UNTRUSTED: ("the Time Stamp Authority's certificate leads to no trusted root", _TSA),
    Reason.TSA_CLOCK_OFF: ("the Time Stamp Authority's time is not that of the machine that asked", _CLOCKS),
    Reason.TSA_DISAGREE: ("several Time Stamp Authorities give times that do not agree", _TSA),
    # Signed objects.
    Reason.OBJECT_SIGNATURE_INVALID: ("something that must be signed is not signed by a trusted key", _KEYS),
    Reason.OBJECT_ROLLED_BACK: (
        "an older version came after a newer one, and is ignored",
        "nothing if it came once; else find out who publishes old messages again",
    ),
    Reason.OBJECT_MISDIRECTED: ("a signed object was published for another name than it is about", _SENDER),
    # Results at a relying party.
    Reason.RESULT_SIGNATURE_INVALID: ("a result is not signed by a trusted verifier", _KEYS),
    Reason.RESULT_NOT_YET_VALID: ("a result was issued in this machine's future", _CLOCKS),
    Reason.RESULT_EXPIRED: (
        "the last result has expired and the verifier has said nothing since",
        "see whether the verifier runs and reaches the broker",
    ),
    Reason.RESULT_OF_ANOTHER_ATTESTER: ("a result is about another attester than the one asked about", _SENDER),
    Reason.RESULT_HANDLE_MISMATCH: ("a result is bound to no handle that is known here", _DISTRIBUTOR),
    Reason.RESULT_POLICY_UNKNOWN: (
        "a result is by no appraisal policy that counts here",
        "compare the policies named in the result with those accepted here",
    ),
    Reason.RESULT_NOT_FRESH: ("a result says itself that its evidence is not fresh", _WAIT),
    Reason.RESULT_TOO_OLD: ("a result is about evidence that is too old", _WAIT),
    Reason.RESULT_PROOF_INVALID: (
        "whoever shows a result does not prove to be the device it is about",
        "refuse; the result may be stolen",
    ),
    Reason.RESULT_MISSING: (
        "no result about this evidence came in time",
        "look at the verifier's log: it does not listen, or it refused",
    ),
    # Enrolment.
    Reason.EK_CERTIFICATE_MISSING: ("the device shows no certificate of its TPM's endorsement key", _ENROL),
    Reason.EK_CERTIFICATE_UNTRUSTED: ("the endorsement key's certificate leads to no configured manufacturer", _ENROL),
    Reason.EK_CERTIFICATE_UNFIT: ("the certificate shown is not one of an endorsement key", _ENROL),
    Reason.EK_CERTIFICATE_REVOKED: ("the endorsement key's certificate was taken back by its issuer", _ENROL),
    Reason.EK_CERTIFICATE_MISMATCH: ("the certificate is of another endorsement key than the device's", _ENROL),
    Reason.REVOCATION_UNKNOWN: (
        "no current revocation list says whether the certificate still holds",
        "fetch the issuer's current revocation list",
    ),
    Reason.IAK_CERTIFICATE_UNTRUSTED: ("the initial attestation key's certificate leads to no configured root", _ENROL),
    Reason.IAK_CERTIFICATE_UNFIT: ("the certificate shown is not one of an initial attestation key", _ENROL),
    Reason.IAK_CERTIFICATE_REVOKED: ("the initial attestation key's certificate was taken back by its issuer", _ENROL),
    Reason.IAK_CERTIFICATE_TAKEN: ("this initial attestation key is bound to another device already", _ENROL),
    Reason.IAK_CERTIFICATION_INVALID: ("the initial attestation key did not certify this request", _ENROL),
    Reason.EK_TEMPLATE_MISMATCH: ("the endorsement key may do more than such a key should", _ENROL),
    Reason.ATTESTING_KEY_UNFIT: (
        "the attesting key could sign anything, or leave its TPM",
        "provision the device anew",
    ),
    Reason.ATTESTING_KEY_REVOKED: (
        "the attesting key was revoked",
        "readmit the device with the endorser only if you know why it was revoked",
    ),
    Reason.ACTIVATION_FAILED: ("the attesting key is not in the TPM that the certificate is about", _ENROL),
    Reason.ACTIVATION_REPLAYED: ("an answer to an enrolment challenge came a second time", _SENDER),
    Reason.ACTIVATION_UNSOLICITED: ("an answer came to a challenge that nobody gave", _SENDER),
    Reason.CHALLENGE_EXPIRED: ("the answer to the enrolment challenge came too late", "enrol the device again"),
    Reason.NAME_TAKEN: ("another device has this name, for good", "give the device another name"),
    Reason.ATTESTER_DECOMMISSIONED: (
        "the device was taken out of service",
        "readmit it with the endorser if it is to serve again",
    ),
    Reason.ENROLMENT_PENDING: ("the device waits for an operator's approval", _ENROL),
    Reason.ENROLMENT_REJECTED: (
        "an operator rejected the device",
        "readmit it with the endorser if that was a mistake",
    ),
    Reason.ENROLMENT_RATE_LIMITED: (
        "too many enrolment requests at once",
        "wait; if it stays, find out who floods the topic",
    ),
    # Evidence.
    Reason.UEID_MISMATCH: ("a message is about another attester than its topic or key says", _SENDER),
    Reason.ATTESTER_UNENDORSED: (
        "nobody vouches for this attester's key",
        "enrol the device, or see whether its endorsement reaches the verifier",
    ),
    Reason.ENDORSEMENT_EXPIRED: ("the endorsement of this attester's key is no longer valid", "renew the endorsement"),
    Reason.ENDORSEMENT_NOT_YET_VALID: ("the endorsement of this attester's key is not valid yet", _CLOCKS),
    Reason.ATTESTING_KEY_MISMATCH: (
        "evidence is signed by another key than the one endorsed",
        "see whether the device was provisioned anew; then enrol it again. If not, somebody else uses its name",
    ),
    Reason.ATTEST_NOT_TPM_GENERATED: ("what was signed was not made by a TPM", _SENDER),
    Reason.ATTEST_TYPE_WRONG: ("what the TPM signed is of another kind than it should be", _SENDER),
    Reason.QUOTE_SIGNATURE_INVALID: ("the quote is not signed by the endorsed key", _SENDER),
    Reason.QUOTE_NOT_BOUND_TO_BODY: ("the quote was made for other evidence", _SENDER),
    Reason.SYNC_SIGNATURE_INVALID: ("the clock's binding to a handle is not signed by the endorsed key", _SENDER),
    Reason.LOG_NOT_BOUND_TO_BODY: ("log bytes are not those that the evidence names", _SENDER),
    Reason.EVIDENCE_REPLAYED: ("old evidence came again, and was refused", "nothing if it came once; else " + _SENDER),
    # Clock.
    Reason.CLOCK_EPOCH_MISMATCH: ("the device's clock was reset or suspended since it was bound to a handle", _WAIT),
    Reason.CLOCK_RAN_BACK: (
        "the TPM's clock or counters went back, which a real TPM's do not",
        "examine the device: an emulated TPM set back to a snapshot looks like this",
    ),
    Reason.CLOCK_UNSAFE: ("the TPM says that its clock may have lost time in a power cut", _WAIT),
    Reason.CLOCK_AHEAD_OF_VERIFIER: (
        "the device's clock says that the quote was made in the verifier's future",
        _CLOCKS + "; if both are right, the device's TPM clock was set forward",
    ),
    Reason.CLOCK_TOO_FAST: (
        "the device's clock runs faster than the policy allows, so ages by it are not believed",
        "compare the rate with other devices of the model; widen the policy's drift only if all are so",
    ),
    Reason.CLOCK_TOO_SLOW: (
        "the device's clock runs slower than the policy expects; its evidence looks older than it is",
        "compare the rate with other devices of the model",
    ),
    Reason.CLOCK_SET: ("the TPM's clock was set forward", "examine the device: only who owns its TPM can do this"),
    Reason.SYNC_STAMP_INVALID: ("the time stamp on the clock's binding does not hold, and is left out", _TSA),
    Reason.EVIDENCE_TOO_OLD: (
        "the evidence, or the handle that it is bound to, may be older than the policy allows",
        "see whether the device is connected and gets new handles",
    ),
    Reason.EVIDENCE_OVERDUE: (
        "nothing has come from the device in time",
        "see whether the device runs and reaches the broker",
    ),
    # Continuity.
    Reason.BASELINE_REQUIRED: ("the verifier needs everything from the beginning of this boot", _RESEND),
    Reason.SEQUENCE_GAP: ("a push is missing between two that came", _RESEND),
    Reason.LOG_GAP: ("entries of a log are missing between two pushes", _RESEND),
    Reason.LOG_INCOMPLETE: ("a long log is still on its way", "wait: the entries come in several messages"),
    # Appraisal.
    Reason.POLICY_MISSING: ("no appraisal policy applies to this device", "publish a policy for the device's group"),
    Reason.REFERENCE_VALUES_MISSING: (
        "the verifier has no reference values to compare with",
        "publish the sets of reference values that the policy names",
    ),
    Reason.PCR_NOT_QUOTED: (
        "the quote leaves out a PCR that the policy asks for",
        "quote the PCRs that the policy names: see the agent's settings",
    ),
    Reason.PCR_VALUES_MISMATCH: ("the PCR values sent are not those that were quoted", _SENDER),
    Reason.PCR_UNEXPECTED: ("a PCR has a value that nobody approved", _BOOT + ", else isolate the device"),
    Reason.LOG_MISSING: (
        "a PCR has changed and no log explains it",
        "give the agent the log that the policy names for this PCR",
    ),
    Reason.LOG_MALFORMED: ("a log has an entry that cannot be read", "look at that log on the device; " + _SENDER),
    Reason.LOG_REPLAY_MISMATCH: (
        "a log does not lead to the quoted PCR values: it was changed or is not complete",
        _SENDER,
    ),
    Reason.FILE_UNEXPECTED: ("a file was measured that nobody approved", _IMAGE),
    Reason.FILE_MEASUREMENT_VIOLATED: (
        "a file was open for writing while it was measured, so what ran is not known",
        "see which program writes to files that others execute or read",
    ),
    Reason.BOOT_AGGREGATE_MISMATCH: ("the file log was started after another boot than the one quoted", _BOOT),
    Reason.TRANSITION_UNREPORTED: (
        "the TPM counts a suspend that the device did not report",
        "examine the device: its agent should report each",
    ),
    Reason.SECURE_BOOT_OFF: (
        "the device booted with Secure Boot off",
        "switch Secure Boot on in the firmware's settings; find out who switched it off",
    ),
    Reason.TEST_KEYS_ENROLLED: (
        "the firmware trusts test keys, whose private halves are public",
        "replace the firmware's keys",
    ),
    Reason.BOOT_LOADER_UNEXPECTED: ("the device started a boot program that the policy does not allow", _BOOT),
    Reason.BOOT_UNKNOWN: (
        "the boot log does not show what the policy asks about",
        "quote PCRs 0 to 7 and send the boot log",
    ),
    Reason.POLICY_RULE: ("a rule of the appraisal policy holds", _POLICY),
    Reason.POLICY_RULE_FAILED: ("a rule of the appraisal policy could not be evaluated", _POLICY),
    Reason.POLICY_CONFLICT: (
        "two policies claim this device alike, so none applies",
        "let one of the two name other groups",
    ),
    Reason.POLICY_INVALID: ("a policy cannot be read, and what was in force stays", _POLICY),
    # Told only.
    Reason.REBOOTED: ("the device has booted anew", "nothing, unless nobody rebooted it"),
    Reason.TPM_CLEARED: (
        "the device's TPM was cleared",
        "ask who cleared it; the device may need to be enrolled again",
    ),
    Reason.FIRMWARE_CHANGED: ("the TPM's firmware has changed", "nothing, if the update was yours"),
    Reason.RESUMED: ("the device was suspended and woke again", "nothing"),
    Reason.IMA_BANK_PADDED_SHA1: (
        "the kernel fills a PCR bank with SHA-1 digests, so its log is bound no better than SHA-1 binds it",
        "quote a bank that is hashed, or build that hash into the kernel",
    ),
    Reason.HIBERNATED: ("the device says that it woke from hibernation", "nothing, unless the policy forbids it"),
    Reason.KERNEL_REPLACED: (
        "the device says that it started another kernel without a reboot",
        "ask who did; the new kernel is in no boot log",
    ),
    # The world around us.
    Reason.BROKER_UNREACHABLE: ("the broker cannot be reached", "see whether the broker runs and the network is up"),
    Reason.BROKER_REFUSED: (
        "the broker refused the connection",
        "look at the user name, the password and the broker's access list",
    ),
    Reason.TPM_UNREACHABLE: ("the TPM does not answer", "see whether the device file exists and may be opened"),
    Reason.TPM_BUSY: ("the TPM is busy", "nothing: it is asked again"),
    Reason.TPM_LOCKED_OUT: (
        "the TPM has locked itself against guessing",
        "wait for its lockout time, or reset the lockout",
    ),
    Reason.TPM_FATAL: ("the TPM is in failure mode", "reboot the device; replace the TPM if it stays"),
    Reason.LOG_UNREADABLE: ("a measurement log cannot be read", "see whether the agent may read that file"),
    Reason.STORE_UNAVAILABLE: (
        "the disk or database does not take what must be stored",
        "look at free space and permissions",
    ),
    Reason.CONFIGURATION_INVALID: ("the configuration is wrong", "mend the field that the message names"),
    # The audit log, as whoever reads it finds it.
    Reason.AUDIT_PROOF_INVALID: (
        "a proof does not show what it says: its hashes lead to another root, or what is in it does not hold",
        _LOG_COPY,
    ),
    Reason.AUDIT_CHECKPOINT_INVALID: ("a checkpoint is not signed by the key of this log, or is of another log", _KEYS),
    Reason.AUDIT_LOG_ALTERED: ("an entry or a tile of the audit log is not the one that was signed", _LOG_COPY),
    Reason.AUDIT_LOG_TRUNCATED: ("the audit log ends before a checkpoint that its key has signed", _LOG_COPY),
    Reason.AUDIT_LOG_FORKED: ("the key of the audit log has signed two histories", _LOG_COPY),
    Reason.AUDIT_STAMP_INVALID: ("a time stamp is not of this checkpoint, or not by a trusted TSA", _TSA),
    Reason.AUDIT_BACK_DATED: ("a time in the audit log and its time stamps cannot both be true", _CLOCKS),
    Reason.AUDIT_PRUNED: (
        "the entry was given up when its time of retention had passed",
        "ask whoever keeps a copy; `audit fsck` names the first entry that is left",
    ),
}
REASON_TEXTS: Final[Mapping[Reason, ReasonText]] = {
    reason: ReasonText(meaning=meaning, next_step=next_step) for reason, (meaning, next_step) in _TEXTS.items()
}
_UNKNOWN: Final = ReasonText(
    meaning="a reason that this version does not know", next_step="update this program: the verifier is newer"
)
_BY_CODE: Final = {reason.value: text for reason, text in REASON_TEXTS.items()}


def explain(code: str) -> ReasonText:
    """The text of a reason code as it stands in a result; a code that this version does not know gets one, too."""
    return _BY_CODE.get(code, _UNKNOWN)
