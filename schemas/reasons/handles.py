"""Reasons about bytes, handles, Time Stamp Authorities and signed objects."""

from typing import Final

from schemas.reasons.codes import Reason
from schemas.reasons.next_steps import CLOCKS, DISTRIBUTOR, KEYS, SENDER, TSA
from schemas.reasons.row import PENDING, STALE, ReasonRow

HANDLES: Final = (
    # Bytes that do not parse (any topic).
    ReasonRow(Reason.TOO_LARGE, "a message is larger than anything of its kind may be", SENDER),
    ReasonRow(Reason.MALFORMED, "a message is not of the form it should have", SENDER),
    ReasonRow(Reason.UNKNOWN_MEDIA_TYPE, "a message is of a kind that does not belong on its topic", SENDER),
    # Handles (REIM 9.2).
    ReasonRow(Reason.HANDLE_SIGNATURE_INVALID, "a handle is not signed by a trusted distributor", KEYS),
    ReasonRow(Reason.HANDLE_STAMP_INVALID, "a handle's time stamp is not by a trusted Time Stamp Authority", TSA),
    ReasonRow(Reason.HANDLE_STAMP_IMPRINT_MISMATCH, "a handle carries the time stamp of something else", DISTRIBUTOR),
    ReasonRow(Reason.HANDLE_TIME_INCONSISTENT, "the times in a handle do not agree with its time stamp", DISTRIBUTOR),
    ReasonRow(
        Reason.HANDLE_EXPIRED,
        "the handle had expired when it was used or received",
        DISTRIBUTOR,
        lasts=True,
        effect=STALE,
    ),
    ReasonRow(Reason.HANDLE_FROM_FUTURE, "a handle's time lies in the receiver's future", CLOCKS),
    ReasonRow(
        Reason.HANDLE_NOT_NEWER,
        "a handle is not newer than the one held",
        "nothing: an old message came again, and is ignored",
    ),
    ReasonRow(
        Reason.HANDLE_UNKNOWN,
        "the verifier does not know the handle that the evidence is bound to, so nothing is known of its age",
        "nothing: it settles when the handle comes; if it stays, see whether handles reach the verifier",
        lasts=True,
        effect=PENDING,
    ),
    ReasonRow(Reason.HANDLE_OVERDUE, "no new handle came in time", DISTRIBUTOR, lasts=True),
    ReasonRow(
        Reason.HANDLE_CHAIN_GAP,
        "handles are missing between two that came",
        "nothing after an absence; else see who drops messages",
    ),
    ReasonRow(
        Reason.HANDLE_CHAIN_FORKED,
        "two handles follow the same one: the distributor's key is used twice",
        "find the second user of the distributor's key; replace the key if nobody of yours has it",
    ),
    ReasonRow(
        Reason.HANDLE_STAMP_NOT_FOR_TIME_STAMPING,
        "a handle is stamped by a certificate that is for something else",
        "ask the operator of the Time Stamp Authority; treat the handle's source as hostile until answered",
    ),
    # Time Stamp Authorities (RFC 3161), as their clients see them.
    ReasonRow(Reason.TSA_UNREACHABLE, "the Time Stamp Authority cannot be reached", TSA, lasts=True),
    ReasonRow(Reason.TSA_TIMEOUT, "the Time Stamp Authority did not answer in time", TSA),
    ReasonRow(Reason.TSA_REFUSED, "the Time Stamp Authority refused to stamp", TSA),
    ReasonRow(Reason.TSA_MALFORMED, "the Time Stamp Authority's answer is not of the form it should have", TSA),
    ReasonRow(Reason.TSA_IMPRINT_MISMATCH, "the Time Stamp Authority stamped something else than was asked", TSA),
    ReasonRow(Reason.TSA_NONCE_MISMATCH, "the Time Stamp Authority's answer is to another question", TSA),
    ReasonRow(Reason.TSA_UNTRUSTED, "the Time Stamp Authority's certificate leads to no trusted root", TSA),
    ReasonRow(
        Reason.TSA_CLOCK_OFF,
        "the Time Stamp Authority's time is not that of the machine that asked",
        CLOCKS,
        lasts=True,
    ),
    ReasonRow(Reason.TSA_DISAGREE, "several Time Stamp Authorities give times that do not agree", TSA, lasts=True),
    # The endorser's signed objects and the verifier's solicits.
    ReasonRow(Reason.OBJECT_SIGNATURE_INVALID, "something that must be signed is not signed by a trusted key", KEYS),
    ReasonRow(
        Reason.OBJECT_ROLLED_BACK,
        "an older version came after a newer one, and is ignored",
        "nothing if it came once; else find out who publishes old messages again",
    ),
    ReasonRow(Reason.OBJECT_MISDIRECTED, "a signed object was published for another name than it is about", SENDER),
)
