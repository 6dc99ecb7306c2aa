"""The reason codes. Results, the audit log, metrics, logging and ``docs/threat-model.md`` all use them.

A released code never changes, nor does its meaning.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why something was rejected, left undecided, or appraised as it was."""

    # Bytes that do not parse (any topic).
    TOO_LARGE = "too-large"
    MALFORMED = "malformed"
    UNKNOWN_MEDIA_TYPE = "unknown-media-type"

    # Handles (REIM 9.2).
    HANDLE_SIGNATURE_INVALID = "handle-signature-invalid"
    HANDLE_STAMP_INVALID = "handle-stamp-invalid"
    HANDLE_STAMP_IMPRINT_MISMATCH = "handle-stamp-imprint-mismatch"
    HANDLE_TIME_INCONSISTENT = "handle-time-inconsistent"
    HANDLE_EXPIRED = "handle-expired"
    HANDLE_FROM_FUTURE = "handle-from-future"
    HANDLE_NOT_NEWER = "handle-not-newer"
    HANDLE_UNKNOWN = "handle-unknown"
    HANDLE_OVERDUE = "handle-overdue"
    HANDLE_CHAIN_GAP = "handle-chain-gap"
    HANDLE_CHAIN_FORKED = "handle-chain-forked"
    HANDLE_STAMP_NOT_FOR_TIME_STAMPING = "handle-stamp-not-for-time-stamping"

    # Time Stamp Authorities (RFC 3161), as the distributor sees them.
    TSA_UNREACHABLE = "tsa-unreachable"
    TSA_TIMEOUT = "tsa-timeout"
    TSA_REFUSED = "tsa-refused"
    TSA_MALFORMED = "tsa-malformed"
    TSA_IMPRINT_MISMATCH = "tsa-imprint-mismatch"
    TSA_NONCE_MISMATCH = "tsa-nonce-mismatch"
    TSA_UNTRUSTED = "tsa-untrusted"
    TSA_CLOCK_OFF = "tsa-clock-off"
    TSA_DISAGREE = "tsa-disagree"

    # Signed objects of the endorser and solicits of the verifier.
    OBJECT_SIGNATURE_INVALID = "object-signature-invalid"
    OBJECT_ROLLED_BACK = "object-rolled-back"
    OBJECT_MISDIRECTED = "object-misdirected"
    OBJECT_FROM_FUTURE = "object-from-future"
    KEY_OUT_OF_SCOPE = "key-out-of-scope"

    # Results, as a relying party verifies them.
    RESULT_SIGNATURE_INVALID = "result-signature-invalid"
    RESULT_NOT_YET_VALID = "result-not-yet-valid"
    RESULT_EXPIRED = "result-expired"
    RESULT_OF_ANOTHER_ATTESTER = "result-of-another-attester"
    RESULT_HANDLE_MISMATCH = "result-handle-mismatch"
    RESULT_POLICY_UNKNOWN = "result-policy-unknown"
    RESULT_NOT_FRESH = "result-not-fresh"
    RESULT_TOO_OLD = "result-too-old"
    RESULT_PROOF_INVALID = "result-proof-invalid"
    RESULT_MISSING = "result-missing"

    # Enrolment: is this a genuine TPM, is the attesting key in it, may it have the name.
    EK_CERTIFICATE_MISSING = "ek-certificate-missing"
    EK_CERTIFICATE_UNTRUSTED = "ek-certificate-untrusted"
    EK_CERTIFICATE_UNFIT = "ek-certificate-unfit"
    EK_CERTIFICATE_REVOKED = "ek-certificate-revoked"
    EK_CERTIFICATE_MISMATCH = "ek-certificate-mismatch"
    REVOCATION_UNKNOWN = "revocation-unknown"
    IAK_CERTIFICATE_UNTRUSTED = "iak-certificate-untrusted"
    IAK_CERTIFICATE_UNFIT = "iak-certificate-unfit"
    IAK_CERTIFICATE_REVOKED = "iak-certificate-revoked"
    IAK_CERTIFICATE_TAKEN = "iak-certificate-taken"
    IAK_CERTIFICATION_INVALID = "iak-certification-invalid"
    EK_TEMPLATE_MISMATCH = "ek-template-mismatch"
    ATTESTING_KEY_UNFIT = "attesting-key-unfit"
    ATTESTING_KEY_REVOKED = "attesting-key-revoked"
    ACTIVATION_FAILED = "activation-failed"
    ACTIVATION_REPLAYED = "activation-replayed"
    ACTIVATION_UNSOLICITED = "activation-unsolicited"
    CHALLENGE_EXPIRED = "challenge-expired"
    NAME_TAKEN = "name-taken"
    ATTESTER_DECOMMISSIONED = "attester-decommissioned"
    ENROLMENT_PENDING = "enrolment-pending"
    ENROLMENT_REJECTED = "enrolment-rejected"
    ENROLMENT_RATE_LIMITED = "enrolment-rate-limited"

    # Evidence: sender and signatures (the message is refused, the state does not move).
    UEID_MISMATCH = "ueid-mismatch"
    ATTESTER_UNENDORSED = "attester-unendorsed"
    ENDORSEMENT_EXPIRED = "endorsement-expired"
    ENDORSEMENT_REPLACED = "endorsement-replaced"
    ENDORSEMENT_NOT_YET_VALID = "endorsement-not-yet-valid"
    ATTESTING_KEY_MISMATCH = "attesting-key-mismatch"
    ATTEST_NOT_TPM_GENERATED = "attest-not-tpm-generated"
    ATTEST_TYPE_WRONG = "attest-type-wrong"
    QUOTE_SIGNATURE_INVALID = "quote-signature-invalid"
    QUOTE_NOT_BOUND_TO_BODY = "quote-not-bound-to-body"
    SYNC_SIGNATURE_INVALID = "sync-signature-invalid"
    LOG_NOT_BOUND_TO_BODY = "log-not-bound-to-body"
    EVIDENCE_REPLAYED = "evidence-replayed"

    # The clock.
    CLOCK_EPOCH_MISMATCH = "clock-epoch-mismatch"
    CLOCK_RAN_BACK = "clock-ran-back"
    CLOCK_UNSAFE = "clock-unsafe"
    CLOCK_AHEAD_OF_VERIFIER = "clock-ahead-of-verifier"
    CLOCK_TOO_FAST = "clock-too-fast"
    CLOCK_TOO_SLOW = "clock-too-slow"
    CLOCK_SET = "clock-set"
    SYNC_STAMP_INVALID = "sync-stamp-invalid"
    EVIDENCE_TOO_OLD = "evidence-too-old"
    EVIDENCE_OVERDUE = "evidence-overdue"

    # Continuity of the stream of deltas.
    BASELINE_REQUIRED = "baseline-required"
    SEQUENCE_GAP = "sequence-gap"
    LOG_GAP = "log-gap"
    LOG_INCOMPLETE = "log-incomplete"

    # Appraisal of what was measured.
    TRUST_STALE = "trust-stale"
    POLICY_MISSING = "policy-missing"
    REFERENCE_VALUES_MISSING = "reference-values-missing"
    PCR_NOT_QUOTED = "pcr-not-quoted"
    PCR_VALUES_MISMATCH = "pcr-values-mismatch"
    PCR_UNEXPECTED = "pcr-unexpected"
    LOG_MISSING = "log-missing"
    LOG_RESETTABLE = "log-resettable"
    BANK_NOT_EXTENDED = "bank-not-extended"
    LOG_MALFORMED = "log-malformed"
    LOG_REPLAY_MISMATCH = "log-replay-mismatch"
    FILE_UNEXPECTED = "file-unexpected"
    FILE_MEASUREMENT_VIOLATED = "file-measurement-violated"
    BOOT_AGGREGATE_MISMATCH = "boot-aggregate-mismatch"
    TRANSITION_UNREPORTED = "transition-unreported"
    SECURE_BOOT_OFF = "secure-boot-off"
    TEST_KEYS_ENROLLED = "test-keys-enrolled"
    BOOT_LOADER_UNEXPECTED = "boot-loader-unexpected"
    BOOT_UNKNOWN = "boot-unknown"
    POLICY_RULE = "policy-rule"
    POLICY_RULE_FAILED = "policy-rule-failed"
    POLICY_CONFLICT = "policy-conflict"
    POLICY_INVALID = "policy-invalid"

    # Reported; they change no verdict unless a policy weighs them.
    REBOOTED = "rebooted"
    TPM_CLEARED = "tpm-cleared"
    FIRMWARE_CHANGED = "firmware-changed"
    RESUMED = "resumed"
    IMA_BANK_PADDED_SHA1 = "ima-bank-padded-sha1"
    HIBERNATED = "woke-from-hibernation"
    KERNEL_REPLACED = "kernel-replaced"

    # The audit log, as an auditor finds it.
    AUDIT_PROOF_INVALID = "audit-proof-invalid"
    AUDIT_CHECKPOINT_INVALID = "audit-checkpoint-invalid"
    AUDIT_LOG_ALTERED = "audit-log-altered"
    AUDIT_LOG_TRUNCATED = "audit-log-truncated"
    AUDIT_LOG_FORKED = "audit-log-forked"
    AUDIT_STAMP_INVALID = "audit-stamp-invalid"
    AUDIT_BACK_DATED = "audit-back-dated"
    AUDIT_PRUNED = "audit-pruned"

    # The machine that a service runs on, and the broker.
    BROKER_UNREACHABLE = "broker-unreachable"
    BROKER_REFUSED = "broker-refused"
    TPM_UNREACHABLE = "tpm-unreachable"
    TPM_BUSY = "tpm-busy"
    TPM_LOCKED_OUT = "tpm-locked-out"
    TPM_FATAL = "tpm-fatal"
    LOG_UNREADABLE = "log-unreadable"
    STORE_UNAVAILABLE = "store-unavailable"
    CONFIGURATION_INVALID = "configuration-invalid"
