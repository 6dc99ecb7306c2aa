"""Reasons for which a relying party refuses a result."""

from typing import Final

from schemas.reasons.codes import Reason
from schemas.reasons.next_steps import CLOCKS, DISTRIBUTOR, KEYS, SENDER, WAIT
from schemas.reasons.row import ReasonRow

RESULTS: Final = (
    ReasonRow(Reason.RESULT_SIGNATURE_INVALID, "a result is not signed by a trusted verifier", KEYS),
    ReasonRow(Reason.RESULT_NOT_YET_VALID, "a result was issued in this machine's future", CLOCKS),
    ReasonRow(
        Reason.RESULT_EXPIRED,
        "the last result has expired and the verifier has sent no other",
        "see whether the verifier runs and reaches the broker",
        lasts=True,
    ),
    ReasonRow(Reason.RESULT_OF_ANOTHER_ATTESTER, "a result is about another attester than the expected one", SENDER),
    ReasonRow(Reason.RESULT_HANDLE_MISMATCH, "a result is not bound to a handle that is known here", DISTRIBUTOR),
    ReasonRow(
        Reason.RESULT_POLICY_UNKNOWN,
        "a result was made under a policy that is not accepted here",
        "compare the policies named in the result with those accepted here",
    ),
    ReasonRow(Reason.RESULT_NOT_FRESH, "a result states that its evidence is not fresh", WAIT),
    ReasonRow(Reason.RESULT_TOO_OLD, "a result is about evidence that is too old", WAIT),
    ReasonRow(
        Reason.RESULT_PROOF_INVALID,
        "the presenter of a result does not prove to be the device of that result",
        "refuse; the result may be stolen",
    ),
    ReasonRow(
        Reason.RESULT_MISSING,
        "no result about this evidence arrived in time",
        "look at the verifier's log: it is not connected, or it refused the evidence",
    ),
)
