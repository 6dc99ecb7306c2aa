"""The words of a verdict: status, freshness, the claims of the trust vector, and what a reason may weigh.

Source: draft-ietf-rats-ar4si-09 for tiers, claims and their values. Freshness and weights are our own.
"""

from collections.abc import Mapping
from enum import IntEnum, StrEnum

_WARNING_FROM, _CONTRAINDICATED_FROM, _AFFIRMING_FROM = 32, 96, 2


class Tier(StrEnum):
    """AR4SI trustworthiness tiers (2.3)."""

    NONE = "none"
    AFFIRMING = "affirming"
    WARNING = "warning"
    CONTRAINDICATED = "contraindicated"


class Freshness(StrEnum):
    """The verifier's conclusion about the age of the evidence. Late is not bad.

    fresh: young enough. stale: too old, or nothing came. pending: the handle is not known yet. unsynchronised: nothing
    binds this clock epoch to a handle. contradicted: the TPM's signed statements about time contradict each other.
    """

    FRESH = "fresh"
    STALE = "stale"
    PENDING = "pending"
    UNSYNCHRONISED = "unsynchronised"
    CONTRADICTED = "contradicted"


class TrustClaim(IntEnum):
    """Keys of the AR4SI trustworthiness vector (3)."""

    INSTANCE_IDENTITY = 0
    CONFIGURATION = 1
    EXECUTABLES = 2
    FILE_SYSTEM = 3
    HARDWARE = 4
    RUNTIME_OPAQUE = 5
    STORAGE_OPAQUE = 6
    SOURCED_DATA = 7

    @property
    def label(self) -> str:
        """The claim's JSON name."""
        return self.name.lower().replace("_", "-")


class Weight(StrEnum):
    """The weight that a policy gives to a reason, or to a rule that holds; lightest first."""

    REPORTED = "told"
    WARNING = "warning"
    NONE = "none"
    CONTRAINDICATED = "contraindicated"


def tier_of(value: int) -> Tier:
    """The tier of one value of the trust vector (2.3.2): -1, 0 and 1 decide nothing."""
    magnitude = max(value, -1 - value)  # the negative ranges are one further out
    if magnitude >= _CONTRAINDICATED_FROM:
        return Tier.CONTRAINDICATED
    if magnitude >= _WARNING_FROM:
        return Tier.WARNING
    return Tier.AFFIRMING if value >= _AFFIRMING_FROM or value <= -_AFFIRMING_FROM else Tier.NONE


def overall_status(vector: Mapping[TrustClaim, int]) -> Tier:
    """The worst tier in a vector; none for an empty one (EAR-04: no more trusted than the worst claim)."""
    tiers = {tier_of(value) for value in vector.values()}
    if Tier.CONTRAINDICATED in tiers:
        return Tier.CONTRAINDICATED
    if Tier.NONE in tiers or not tiers:
        return Tier.NONE
    return Tier.WARNING if Tier.WARNING in tiers else Tier.AFFIRMING
