"""Verdicts in words: tiers, freshness, and the values of the trust claims (AR4SI). For people.

The table of reasons states which claims a reason sets. A policy may give a reason another weight, so
:func:`reasons_behind` names only candidates, from the reasons that the result lists.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from schemas.reasons.table import REASONS
from schemas.verdicts import Freshness, Tier, TrustClaim, tier_of

TIER_TEXTS: Final[Mapping[Tier, str]] = {
    Tier.AFFIRMING: "everything that the policy asks for was checked and is as approved",
    Tier.WARNING: "nothing is known to be bad, but something needs a look",
    Tier.CONTRAINDICATED: "something is known to be bad",
    Tier.NONE: "the verifier does not decide; nothing is affirmed",
}
FRESHNESS_TEXTS: Final[Mapping[Freshness, str]] = {
    Freshness.FRESH: "the evidence is as young as the policy asks",
    Freshness.STALE: "the evidence is too old, or none came; late is not bad, but nothing is affirmed",
    Freshness.PENDING: "the verifier does not know yet the handle that shows the age of the evidence",
    Freshness.UNSYNCHRONISED: "nothing binds the device's clock to a handle",
    Freshness.CONTRADICTED: "the TPM's signed statements about time contradict each other",
}
CLAIM_TEXTS: Final[Mapping[TrustClaim, str]] = {
    TrustClaim.INSTANCE_IDENTITY: "which device it is",
    TrustClaim.CONFIGURATION: "how it is configured and was booted",
    TrustClaim.EXECUTABLES: "which programs it ran",
    TrustClaim.FILE_SYSTEM: "which files it used",
    TrustClaim.HARDWARE: "whether its TPM is genuine",
    TrustClaim.RUNTIME_OPAQUE: "whether its memory is closed to others",
    TrustClaim.STORAGE_OPAQUE: "whether its secrets are stored closed to others",
    TrustClaim.SOURCED_DATA: "whether the data it took in is trustworthy",
}
# AR4SI-09, 2.3.4: the values that our verifier uses. Other values get the text of their tier.
_VALUE_TEXTS: Final[Mapping[tuple[TrustClaim, int], str]] = {
    (TrustClaim.INSTANCE_IDENTITY, 2): "recognised: its key is endorsed",
    (TrustClaim.CONFIGURATION, 2): "approved: every PCR with reference values has one of them",
    (TrustClaim.CONFIGURATION, 32): "recognised, but with a known weakness",
    (TrustClaim.CONFIGURATION, 96): "not to be trusted",
    (TrustClaim.EXECUTABLES, 2): "only approved programs, at boot and after it",
    (TrustClaim.EXECUTABLES, 3): "only approved programs at boot; later programs were not checked",
    (TrustClaim.EXECUTABLES, 33): "programs that are not recognised",
    (TrustClaim.EXECUTABLES, 96): "programs that are not to be trusted",
    (TrustClaim.FILE_SYSTEM, 2): "only approved files",
    (TrustClaim.FILE_SYSTEM, 32): "files that are not recognised",
    (TrustClaim.FILE_SYSTEM, 96): "files that are not to be trusted",
    (TrustClaim.HARDWARE, 2): "genuine: its manufacturer certifies the TPM that holds its key",
}
_TIER_VALUE_TEXTS: Final[Mapping[Tier, str]] = {
    Tier.AFFIRMING: "affirmed",
    Tier.WARNING: "affirmed with a known weakness, or not recognised",
    Tier.CONTRAINDICATED: "not to be trusted",
    Tier.NONE: "nothing concluded",
}


def value_text(claim: TrustClaim, value: int) -> str:
    """The value of a trust claim in words."""
    return _VALUE_TEXTS.get((claim, value)) or _TIER_VALUE_TEXTS[tier_of(value)]


def reasons_behind(claim: TrustClaim, value: int, reasons: Sequence[str]) -> list[str]:
    """The reasons of a result that can have set a claim to its value; empty for a claim that affirms.

    A reason that sets no claim by itself sets the configuration if a policy gives it a weight.

    Args:
        claim: of the vector.
        value: of that claim.
        reasons: of the result, in its order.
    """
    if tier_of(value) not in {Tier.WARNING, Tier.CONTRAINDICATED}:
        return []
    claims = {code: REASONS[code].claims if code in REASONS else () for code in reasons}
    behind = [code for code in reasons if claim in claims[code]]
    if not behind and claim is TrustClaim.CONFIGURATION:
        return [code for code in reasons if not claims[code]]
    return behind
