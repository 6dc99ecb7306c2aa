"""Reasons about bytes, handles, Time Stamp Authorities and signed objects."""

from typing import Final

from schemas.reasons.codes import Reason
from schemas.reasons.next_steps import CLOCKS, DISTRIBUTOR, KEYS, SENDER, TSA
from schemas.reasons.row import PENDING, STALE, ReasonRow

HANDLES: Final = (
    # Bytes that do not parse (any topic).
    ReasonRow(Reason.TOO_LARGE, "a message is larger than its kind allows", SENDER),
    ReasonRow(Reason.MALFORMED, "a message does not have the form of its kind", SENDER),
    ReasonRow(Reason.UNKNOWN_MEDIA_TYPE, "a message has a kind that does not belong on its topic", SENDER),
    # Handles (REIM 9.2).
    ReasonRow(Reason.HANDLE_SIGNATURE_INVALID, "a handle is not signed by a trusted distributor", KEYS),
    ReasonRow(Reason.HANDLE_STAMP_INVALID, "no trusted Time Stamp Authority made a handle's time stamp", TSA),
    ReasonRow(Reason.HANDLE_STAMP_IMPRINT_MISMATCH, "a handle's time stamp is over other data", DISTRIBUTOR),
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
        "a handle is not newer than the current one",
        "nothing: an old message was repeated, and is ignored",
    ),
    ReasonRow(
        Reason.HANDLE_UNKNOWN,
        "the verifier does not know the handle that the evidence is bound to, so the age of the evidence is unknown",
        "nothing: it is resolved when the handle arrives; if it stays, see whether handles reach the verifier",
        lasts=True,
        effect=PENDING,
    ),
    ReasonRow(Reason.HANDLE_OVERDUE, "no new handle arrived in time", DISTRIBUTOR, lasts=True),
    ReasonRow(
        Reason.HANDLE_CHAIN_GAP,
        "handles are missing between two that arrived",
        "nothing after an absence; else find out who drops messages",
    ),
    ReasonRow(
        Reason.HANDLE_CHAIN_FORKED,
        "two handles follow the same one: the distributor's key is used twice",
        "find the second user of the distributor's key; replace the key if you cannot explain it",
    ),
    ReasonRow(
        Reason.HANDLE_STAMP_NOT_FOR_TIME_STAMPING,
        "a handle is stamped with a certificate for another purpose",
        "ask the operator of the Time Stamp Authority; treat the handle's source as hostile until answered",
    ),
    # Time Stamp Authorities (RFC 3161), as their clients see them.
    ReasonRow(Reason.TSA_UNREACHABLE, "the Time Stamp Authority cannot be reached", TSA, lasts=True),
    ReasonRow(Reason.TSA_TIMEOUT, "the Time Stamp Authority did not answer in time", TSA),
    ReasonRow(Reason.TSA_REFUSED, "the Time Stamp Authority refused to stamp", TSA),
    ReasonRow(Reason.TSA_MALFORMED, "the Time Stamp Authority's answer does not have the form of RFC 3161", TSA),
    ReasonRow(Reason.TSA_IMPRINT_MISMATCH, "the Time Stamp Authority stamped other data than requested", TSA),
    ReasonRow(Reason.TSA_NONCE_MISMATCH, "the Time Stamp Authority's answer belongs to another request", TSA),
    ReasonRow(Reason.TSA_UNTRUSTED, "the Time Stamp Authority's certificate leads to no trusted root", TSA),
    ReasonRow(
        Reason.TSA_CLOCK_OFF,
        "the Time Stamp Authority's time differs from this machine's clock",
        CLOCKS,
        lasts=True,
    ),
    ReasonRow(Reason.TSA_DISAGREE, "the times of several Time Stamp Authorities do not agree", TSA, lasts=True),
    # The endorser's signed objects and the verifier's solicits.
    ReasonRow(Reason.OBJECT_SIGNATURE_INVALID, "a message that must be signed is not signed by a trusted key", KEYS),
    ReasonRow(
        Reason.OBJECT_ROLLED_BACK,
        "an older version arrived after a newer one, and is ignored",
        "nothing if it happened once; else find out who publishes old messages",
    ),
    ReasonRow(Reason.OBJECT_MISDIRECTED, "a signed object was published under another name than its own", SENDER),
    ReasonRow(
        Reason.OBJECT_FROM_FUTURE,
        "the version of a signed object is more than a day ahead of this machine's clock",
        CLOCKS,
    ),
    ReasonRow(
        Reason.KEY_OUT_OF_SCOPE,
        "a signed object is outside the scope of the key that signed it",
        "sign it with the key that may, or widen that key's scope in the verifier's settings",
    ),
)
