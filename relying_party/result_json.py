"""A standing as JSON: every field of the result, in a stable form. Pure.

``format`` is 1. Members are added, never renamed or removed; a reader ignores members that it does not know. Bytes are
hexadecimal, a UEID is base64url, times have their unit in their name; an unknown value is null. ``status``,
``freshness`` and ``reasons`` are current; ``signed`` holds them as the verifier signed them.
"""

import json
from typing import Final

from relying_party.result_board import Standing
from schemas.identifiers import ueid_text

FORMAT: Final = 1


def members_of(standing: Standing) -> dict[str, object]:
    """The members of the JSON object."""
    result = standing.result
    rejected = result.rejections
    return {
        "format": FORMAT,
        "ueid": ueid_text(result.ueid),
        "environment": result.environment.hex(),
        "verifier": result.verifier,
        "status": standing.status,
        "freshness": standing.freshness,
        "reasons": list(standing.reasons),
        "signed": {"status": result.status, "freshness": result.freshness, "reasons": list(result.reasons)},
        "vector": {claim.label: value for claim, value in sorted(result.vector.items())},
        "issued_s": result.issued_s,
        "expires_s": result.expires_s,
        "made_after_us": result.made_after_us,
        "made_before_us": result.made_before_us,
        "received_us": result.received_us,
        "received_after": None if result.received_after is None else result.received_after.hex(),
        "clock_rate_ppm": None if result.clock_rate_ppm is None else list(result.clock_rate_ppm),
        "handle": None if result.handle is None else result.handle.hex(),
        "evidence": None if result.evidence is None else result.evidence.hex(),
        "sequence": result.sequence,
        "policies": list(result.policies),
        "reference_values": list(result.reference_values),
        "logs": dict(result.logs),
        "logs_total": dict(result.logs_total),
        "unexpected": list(result.unexpected),
        "unexpected_digests": list(result.unexpected_digests),
        "unexpected_total": result.unexpected_total,
        "attester_claims": dict(result.claims),
        "verified_claims": dict(result.verified_claims),
        "rejections": None
        if rejected is None
        else {"count": rejected.count, "last": rejected.last, "last_us": rejected.last_us},
        "transitions": [
            {
                "kind": each.kind.name.lower(),
                "clock_ms": each.clock_ms,
                "reset_count": each.reset_count,
                "restart_count": each.restart_count,
            }
            for each in result.transitions
        ],
    }


def json_of(standing: Standing) -> str:
    """A standing as one line of JSON, for programs that read lines."""
    return json.dumps(members_of(standing), separators=(",", ":"))
