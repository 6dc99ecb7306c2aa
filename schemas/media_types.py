"""Media types and CMW indicators (RFC 9999, section 3.1) of all messages and files."""

from enum import IntFlag
from typing import Final


class Indicator(IntFlag):
    """CMW conceptual-message indicator bits (RFC 9999, 3.1).

    Handle: draft-ietf-rats-reference-interaction-models-18, 6.1.
    """

    REFERENCE_VALUES = 1
    ENDORSEMENTS = 2
    EVIDENCE = 4
    ATTESTATION_RESULTS = 8
    APPRAISAL_POLICY = 16
    HANDLE = 32


HANDLE: Final = "application/vnd.attestream.handle+cose"
EVIDENCE: Final = "application/vnd.attestream.evidence+cbor"
POLICY: Final = "application/vnd.attestream.policy+cose"
STATEMENT: Final = "application/vnd.attestream.statement+cose"
SOLICIT: Final = "application/vnd.attestream.solicit+cose"
ENROLMENT_REQUEST: Final = "application/vnd.attestream.enrolment-request+cbor"
ENROLMENT_CHALLENGE: Final = "application/vnd.attestream.enrolment-challenge+cose"
ENROLMENT_ACTIVATION: Final = "application/vnd.attestream.enrolment-activation+cbor"
ENROLMENT_OUTCOME: Final = "application/vnd.attestream.enrolment-outcome+cose"
AUDIT_PROOF: Final = "application/vnd.attestream.audit-proof+cbor"
ALERT: Final = "application/vnd.attestream.alert+cbor"
STATUS: Final = "application/vnd.attestream.status+cbor"
SIGNED_CORIM: Final = "application/rim+cose"
CORIM: Final = "application/rim+cbor"
EAR_PROFILE: Final = "tag:ietf.org,2026:rats/ear#04"
RESULT: Final = f'application/eat+jwt; eat_profile="{EAR_PROFILE}"'  # RFC 9782
RESULT_CWT: Final = f'application/eat+cwt; eat_profile="{EAR_PROFILE}"'
