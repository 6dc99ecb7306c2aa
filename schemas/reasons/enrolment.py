"""Reasons about enrolment: is the TPM genuine, does it hold the attesting key, may the device have the name."""

from typing import Final

from schemas.reasons.codes import Reason
from schemas.reasons.next_steps import ENROL, SENDER
from schemas.reasons.row import ReasonRow

ENROLMENT: Final = (
    ReasonRow(Reason.EK_CERTIFICATE_MISSING, "the device shows no certificate of its TPM's endorsement key", ENROL),
    ReasonRow(
        Reason.EK_CERTIFICATE_UNTRUSTED, "the endorsement key's certificate leads to no configured manufacturer", ENROL
    ),
    ReasonRow(Reason.EK_CERTIFICATE_UNFIT, "the certificate shown is not one of an endorsement key", ENROL),
    ReasonRow(Reason.EK_CERTIFICATE_REVOKED, "the endorsement key's certificate was taken back by its issuer", ENROL),
    ReasonRow(Reason.EK_CERTIFICATE_MISMATCH, "the certificate is of another endorsement key than the device's", ENROL),
    ReasonRow(
        Reason.REVOCATION_UNKNOWN,
        "no current revocation list says whether the certificate still holds",
        "fetch the issuer's current revocation list",
        lasts=True,
    ),
    ReasonRow(
        Reason.IAK_CERTIFICATE_UNTRUSTED, "the initial attestation key's certificate leads to no configured root", ENROL
    ),
    ReasonRow(Reason.IAK_CERTIFICATE_UNFIT, "the certificate shown is not one of an initial attestation key", ENROL),
    ReasonRow(
        Reason.IAK_CERTIFICATE_REVOKED, "the initial attestation key's certificate was taken back by its issuer", ENROL
    ),
    ReasonRow(
        Reason.IAK_CERTIFICATE_TAKEN,
        "this initial attestation key is bound to another device already",
        ENROL,
        lasts=True,
    ),
    ReasonRow(Reason.IAK_CERTIFICATION_INVALID, "the initial attestation key did not certify this request", ENROL),
    ReasonRow(Reason.EK_TEMPLATE_MISMATCH, "the endorsement key may do more than such a key should", ENROL),
    ReasonRow(
        Reason.ATTESTING_KEY_UNFIT,
        "the attesting key could sign anything, or leave its TPM",
        "provision the device anew",
    ),
    ReasonRow(
        Reason.ATTESTING_KEY_REVOKED,
        "the attesting key was revoked",
        "readmit the device with the endorser only if you know why it was revoked",
        lasts=True,
    ),
    ReasonRow(Reason.ACTIVATION_FAILED, "the attesting key is not in the TPM that the certificate is about", ENROL),
    ReasonRow(Reason.ACTIVATION_REPLAYED, "an answer to an enrolment challenge came a second time", SENDER),
    ReasonRow(Reason.ACTIVATION_UNSOLICITED, "an answer came to a challenge that nobody gave", SENDER),
    ReasonRow(
        Reason.CHALLENGE_EXPIRED, "the answer to the enrolment challenge came too late", "enrol the device again"
    ),
    ReasonRow(Reason.NAME_TAKEN, "another device has this name, for good", "give the device another name", lasts=True),
    ReasonRow(
        Reason.ATTESTER_DECOMMISSIONED,
        "the device was taken out of service",
        "readmit it with the endorser if it is to serve again",
        lasts=True,
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
