"""Reasons about enrolment: is the TPM genuine, does it hold the attesting key, may the device have the name."""

from typing import Final

from schemas.reasons.codes import Reason
from schemas.reasons.next_steps import ENROL, SENDER
from schemas.reasons.row import UNDECIDED, Effect, ReasonRow
from schemas.verdicts import TrustClaim

ENROLMENT: Final = (
    ReasonRow(Reason.EK_CERTIFICATE_MISSING, "the device has no certificate of its TPM's endorsement key", ENROL),
    ReasonRow(
        Reason.EK_CERTIFICATE_UNTRUSTED, "the endorsement key's certificate leads to no configured manufacturer", ENROL
    ),
    ReasonRow(Reason.EK_CERTIFICATE_UNFIT, "the certificate is not for an endorsement key", ENROL),
    ReasonRow(Reason.EK_CERTIFICATE_REVOKED, "the issuer revoked the endorsement key's certificate", ENROL),
    ReasonRow(Reason.EK_CERTIFICATE_MISMATCH, "the certificate belongs to another endorsement key", ENROL),
    ReasonRow(
        Reason.REVOCATION_UNKNOWN,
        "no current revocation list shows whether the certificate is revoked",
        "fetch the issuer's current revocation list",
        lasts=True,
    ),
    ReasonRow(
        Reason.IAK_CERTIFICATE_UNTRUSTED, "the initial attestation key's certificate leads to no configured root", ENROL
    ),
    ReasonRow(Reason.IAK_CERTIFICATE_UNFIT, "the certificate is not for an initial attestation key", ENROL),
    ReasonRow(Reason.IAK_CERTIFICATE_REVOKED, "the issuer revoked the initial attestation key's certificate", ENROL),
    ReasonRow(
        Reason.IAK_CERTIFICATE_TAKEN,
        "this initial attestation key already belongs to another device",
        ENROL,
        lasts=True,
    ),
    ReasonRow(Reason.IAK_CERTIFICATION_INVALID, "the initial attestation key did not certify this request", ENROL),
    ReasonRow(Reason.EK_TEMPLATE_MISMATCH, "the endorsement key may do more than the TCG's template allows", ENROL),
    ReasonRow(
        Reason.ATTESTING_KEY_UNFIT,
        "the attesting key could sign anything, or leave its TPM",
        "provision the device again",
    ),
    ReasonRow(
        Reason.ATTESTING_KEY_REVOKED,
        "the attesting key was revoked",
        "readmit the device with the endorser only if you know why it was revoked",
        lasts=True,
        effect=Effect(values={TrustClaim.INSTANCE_IDENTITY: 96}),
        listed=True,
    ),
    ReasonRow(Reason.ACTIVATION_FAILED, "the attesting key is not in the TPM of the certificate", ENROL),
    ReasonRow(Reason.ACTIVATION_REPLAYED, "an enrolment challenge was answered a second time", SENDER),
    ReasonRow(Reason.ACTIVATION_UNSOLICITED, "an answer names a challenge that the endorser did not send", SENDER),
    ReasonRow(
        Reason.CHALLENGE_EXPIRED, "the answer to the enrolment challenge arrived too late", "enrol the device again"
    ),
    ReasonRow(
        Reason.NAME_TAKEN, "another device permanently has this name", "give the device another name", lasts=True
    ),
    ReasonRow(
        Reason.ATTESTER_DECOMMISSIONED,
        "the device was taken out of service",
        "readmit it with the endorser if it is to serve again",
        lasts=True,
        effect=UNDECIDED,
        listed=True,
    ),
    ReasonRow(Reason.ENROLMENT_PENDING, "the device waits for an operator's approval", ENROL, lasts=True),
    ReasonRow(
        Reason.ENROLMENT_REJECTED,
        "an operator rejected the device",
        "readmit it with the endorser if that was a mistake",
        lasts=True,
    ),
    ReasonRow(
        Reason.ENROLMENT_RATE_LIMITED,
        "too many enrolment requests at once",
        "wait; if it stays, find out who floods the topic",
    ),
)
