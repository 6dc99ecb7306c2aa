"""One finding of a check: a reason, with details."""

from dataclasses import dataclass

from schemas.reasons import Reason
from schemas.verdicts import Weight


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One reason, with details for people.

    Attributes:
        reason: the code.
        detail: a path, a PCR, a rule's name.
        digest: of the file or event, if the finding is about one.
        weight: given by a rule of the policy; None for every other finding.
    """

    reason: Reason
    detail: str = ""
    digest: bytes = b""
    weight: Weight | None = None


def register_text(bank: str, index: int) -> str:
    """How a finding names a PCR."""
    return f"PCR {bank}:{index}"
