"""Reason codes: the codes, and one table that states everything about each of them."""

from schemas.reasons.codes import Reason

__all__ = ["Reason"]
