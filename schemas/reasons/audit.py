"""Reasons about an audit log, as an auditor finds it."""

from typing import Final

from schemas.reasons.codes import Reason
from schemas.reasons.next_steps import CLOCKS, KEYS, LOG_COPY, TSA
from schemas.reasons.row import ReasonRow

AUDIT: Final = (
    ReasonRow(
        Reason.AUDIT_PROOF_INVALID,
        "a proof is not valid: its hashes lead to another root, or an entry in it is wrong",
        LOG_COPY,
    ),
    ReasonRow(
        Reason.AUDIT_CHECKPOINT_INVALID,
        "a checkpoint is not signed by the key of this log, or belongs to another log",
        KEYS,
    ),
    ReasonRow(
        Reason.AUDIT_LOG_ALTERED,
        "an entry or a tile of the audit log is not the one that was signed",
        LOG_COPY,
        lasts=True,
    ),
    ReasonRow(
        Reason.AUDIT_LOG_TRUNCATED,
        "the audit log ends before a checkpoint that its key has signed",
        LOG_COPY,
        lasts=True,
    ),
    ReasonRow(Reason.AUDIT_LOG_FORKED, "the key of the audit log has signed two histories", LOG_COPY, lasts=True),
    ReasonRow(Reason.AUDIT_STAMP_INVALID, "a time stamp is for another checkpoint, or not by a trusted TSA", TSA),
    ReasonRow(
        Reason.AUDIT_BACK_DATED, "a time in the audit log and its time stamps cannot both be true", CLOCKS, lasts=True
    ),
    ReasonRow(
        Reason.AUDIT_PRUNED,
        "the entry was deleted at the end of its retention time",
        "ask for a copy; `audit fsck` names the first entry that is left",
        lasts=True,
    ),
)
