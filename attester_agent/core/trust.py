"""The keys and roots that the agent trusts."""

from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from attester_agent.core.handle_gate import ClockTrust
from schemas.messages.handle import StampVerifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Whose signatures the agent accepts.

    Attributes:
        distributors: keys of handles, by ``cose.key_id``.
        verifiers: keys of solicits, by ``cose.key_id``.
        stamps: verifies the TSA's stamp in a handle.
        clock: whether this machine's clock may judge a handle.
    """

    distributors: Mapping[bytes, EllipticCurvePublicKey]
    verifiers: Mapping[bytes, EllipticCurvePublicKey]
    stamps: StampVerifier
    clock: ClockTrust
