"""Attestation results: EAR (draft-ietf-rats-ear-04), one submodule for the attesting environment.

This module holds the claims of a JWT, :mod:`schemas.messages.result_cwt` the same in CBOR;
:mod:`schemas.messages.result_token` signs both.

The ``attestream`` map in ``ear_verifier_claims`` holds the facts for which EAR has no claim. The signature covers the
attester (``ueid``), the handle (``eat_nonce``, REIM N14), the evidence and the interval in which the quote was made, so
a relying party need not believe a topic name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from schemas.errors import PeerError
from schemas.identifiers import HandleId, Ueid, b64url, parse_b64url, parse_ueid_text, ueid_text
from schemas.media_types import EAR_PROFILE
from schemas.messages.evidence import Transition
from schemas.reasons import Reason
from schemas.transitions import TransitionKind
from schemas.verdicts import Freshness, Tier, TrustClaim, overall_status

SIGNED_CLAIMS_KEY: Final = "attestream"
_BY_LABEL: Final = {claim.label: claim for claim in TrustClaim}
_CLAIM_VALUES: Final = range(-128, 128)  # AR4SI, 3
# A vector has at least one entry (AR4SI, 3). The value 0 means the same as a missing entry: no conclusion (2.3.2).
_NO_CONCLUSION: Final = {TrustClaim.INSTANCE_IDENTITY: 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejections:
    """Messages on this attester's topic that were refused since its state began; they change no verdict."""

    count: int
    last: str
    last_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttestationResult:
    """One appraisal, or the report that no evidence came in time.

    Attributes:
        ueid: the attester.
        environment: TPM name of the attesting key; empty if it is not known.
        status: overall tier; never better than the worst value in ``vector``.
        freshness: what the verifier knows about the time of the quote.
        reasons: reason codes, the deciding one first; empty only in a plain affirming result.
        vector: AR4SI values by claim.
        issued_s, expires_s: validity of the result, UTC seconds of the verifier's clock.
        handle: the handle of the evidence; None without evidence.
        evidence: SHA-256 of the evidence body.
        sequence: the evidence's sequence number.
        made_after_us: earliest time of the quote (TSA time).
        made_before_us: latest time of the quote: its receipt, or earlier if a TSA stamped the sync proof.
        received_us: the verifier's receipt, by its clock, which never runs behind the handles it holds.
        received_after: the newest handle that the verifier held on receipt, so the receipt was later than the handle's
            stamp (REIM 7.2).
        policies: ids of the appraisal policies applied, with versions.
        reference_values: names of the sets of reference values in force, with versions; ``+`` behind one: its outgoing
            values are acceptable, too. Empty in results of earlier releases.
        logs: entries of each log that the quote covers.
        logs_total: entries of each log by the attester's word. Unsigned: verifiers no longer state it.
        unexpected: what the reasons are about, bounded: paths and PCRs that no reference value covers, the policy's
            rules that hold or fail, missing sets, policies in conflict.
        unexpected_digests: the measured digest of each of them in hexadecimal, in the same order; empty if it has none.
        unexpected_total: how many there were.
        claims: ``ear_attester_claims``: everything that the attester claims about itself. Nothing proves them.
        verified_claims: facts that PCRs of the quote prove, read by the verifier from the replayed logs.
        rejections: refused messages, if any.
        clock_rate_ppm: bounds on the rate of the attester's clock against TSA time, parts per million.
        verifier: the verifier's name.
        transitions: suspends, hibernations and new kernels that the evidence claims, in order.
    """

    ueid: Ueid
    environment: bytes
    status: Tier
    freshness: Freshness
    reasons: Sequence[str]
    vector: Mapping[TrustClaim, int]
    issued_s: int
    expires_s: int
    verifier: str
    handle: HandleId | None = None
    evidence: bytes | None = None
    sequence: int | None = None
    made_after_us: int | None = None
    made_before_us: int | None = None
    received_us: int | None = None
    received_after: HandleId | None = None
    policies: Sequence[str] = ()
    reference_values: Sequence[str] = ()
    logs: Mapping[str, int] = field(default_factory=dict)
    logs_total: Mapping[str, int] = field(default_factory=dict)
    unexpected: Sequence[str] = ()
    unexpected_digests: Sequence[str] = ()
    unexpected_total: int = 0
    claims: Mapping[str, str | int | bool] = field(default_factory=dict)
    verified_claims: Mapping[str, str | int | bool] = field(default_factory=dict)
    rejections: Rejections | None = None
    clock_rate_ppm: tuple[int, int] | None = None
    transitions: Sequence[Transition] = ()


def to_claims(result: AttestationResult, developer: str, build: str) -> dict[str, object]:
    """The JWT claims of a result.

    Args:
        result: to encode.
        developer: first member of ``ear_verifier_id``.
        build: second member of ``ear_verifier_id``.
    """
    appraisal: dict[str, object] = {
        "ear_status": result.status,
        "ear_trustworthiness_vector": {
            claim.label: value for claim, value in sorted((result.vector or _NO_CONCLUSION).items())
        },
        "ear_verifier_claims": {SIGNED_CLAIMS_KEY: _to_details(result)},
    }
    if result.policies:
        appraisal["ear_appraisal_policy_ids"] = list(result.policies)
    if result.claims:
        appraisal["ear_attester_claims"] = dict(result.claims)
    claims: dict[str, object] = {
        "eat_profile": EAR_PROFILE,
        "iss": result.verifier,
        "ueid": ueid_text(result.ueid),
        "iat": result.issued_s,
        "exp": result.expires_s,
        "ear_verifier_id": {"developer": developer, "build": build},
        "ear_status": result.status,
        "submods": {result.environment.hex() or "unknown": appraisal},
    }
    if result.handle is not None:
        claims["eat_nonce"] = b64url(result.handle)
    return claims


def _to_details(result: AttestationResult) -> dict[str, object]:
    details: dict[str, object] = {"freshness": result.freshness, "reasons": list(result.reasons)}
    optional: dict[str, object] = {
        "evidence": b64url(result.evidence) if result.evidence is not None else None,
        "sequence": result.sequence,
        "made_after_us": result.made_after_us,
        "made_before_us": result.made_before_us,
        "received_us": result.received_us,
        "received_after": b64url(result.received_after) if result.received_after is not None else None,
        "reference_values": list(result.reference_values) or None,
        "logs": dict(result.logs) or None,
        "logs_total": dict(result.logs_total) or None,
        "unexpected": list(result.unexpected) or None,
        "unexpected_digests": list(result.unexpected_digests) or None,
        "unexpected_total": result.unexpected_total or None,
        "verified_claims": dict(result.verified_claims) or None,
        "clock_rate_ppm": list(result.clock_rate_ppm) if result.clock_rate_ppm else None,
        "transitions": [
            {
                "kind": each.kind.name.lower(),
                "clock_ms": each.clock_ms,
                "reset": each.reset_count,
                "restart": each.restart_count,
            }
            for each in result.transitions
        ]
        or None,
    }
    details.update({key: value for key, value in optional.items() if value is not None})
    if result.rejections is not None:
        rejected = result.rejections
        details["rejections"] = {"count": rejected.count, "last": rejected.last, "last_us": rejected.last_us}
    return details


def from_claims(claims: Mapping[str, object]) -> AttestationResult:
    """Parses authenticated JWT claims; unknown claims are ignored (EAR-04, 3).

    Raises:
        PeerError: ``malformed`` when a claim is missing or of the wrong type, or the overall status is better than
            the submodule's or than its vector.
    """
    try:
        return _from_claims(claims)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PeerError(Reason.MALFORMED, f"attestation result: {type(error).__name__} {error}") from error


def _from_claims(claims: Mapping[str, object]) -> AttestationResult:
    if claims["eat_profile"] != EAR_PROFILE:
        raise PeerError(Reason.MALFORMED, f"attestation result: profile {str(claims['eat_profile'])[:80]!r}")
    ((environment, appraisal),) = _map(claims["submods"]).items()
    appraisal = _map(appraisal)
    details = _map(_map(appraisal["ear_verifier_claims"])[SIGNED_CLAIMS_KEY])
    vector = _vector(_map(appraisal["ear_trustworthiness_vector"]))
    made_by = _map(claims["ear_verifier_id"])
    for member in ("developer", "build"):
        _text(made_by[member])
    status = Tier(_text(claims["ear_status"]))
    allowed = {Tier.NONE, overall_status(vector)}
    if status != appraisal["ear_status"] or status not in allowed:
        raise PeerError(Reason.MALFORMED, f"attestation result: status {status} does not follow from its vector")
    nonce = claims.get("eat_nonce")
    evidence, rate = details.get("evidence"), details.get("clock_rate_ppm")
    rejections, received_after = details.get("rejections"), details.get("received_after")
    low, high = rate if isinstance(rate, list) else (0, 0)
    return AttestationResult(
        ueid=parse_ueid_text(_text(claims["ueid"])),
        environment=b"" if environment == "unknown" else bytes.fromhex(environment),
        status=status,
        freshness=Freshness(_text(details["freshness"])),
        reasons=_texts(details["reasons"]),
        vector=vector,
        issued_s=_int(claims["iat"]),
        expires_s=_int(claims["exp"]),
        verifier=_text(claims["iss"]),
        handle=HandleId(parse_b64url(_text(nonce), "eat_nonce")) if nonce is not None else None,
        evidence=parse_b64url(_text(evidence), "evidence") if evidence is not None else None,
        sequence=_optional_int(details.get("sequence")),
        made_after_us=_optional_int(details.get("made_after_us")),
        made_before_us=_optional_int(details.get("made_before_us")),
        received_us=_optional_int(details.get("received_us")),
        received_after=HandleId(parse_b64url(_text(received_after), "received_after"))
        if received_after is not None
        else None,
        policies=_texts(appraisal.get("ear_appraisal_policy_ids", [])),
        reference_values=_texts(details.get("reference_values", [])),
        logs={name: _int(count) for name, count in _map(details.get("logs", {})).items()},
        logs_total={name: _int(count) for name, count in _map(details.get("logs_total", {})).items()},
        unexpected=_texts(details.get("unexpected", [])),
        unexpected_digests=_texts(details.get("unexpected_digests", [])),
        unexpected_total=_int(details.get("unexpected_total", 0)),
        claims=_plain_claims(appraisal.get("ear_attester_claims", {})),
        verified_claims=_plain_claims(details.get("verified_claims", {})),
        rejections=_rejections(_map(rejections)) if rejections is not None else None,
        clock_rate_ppm=(_int(low), _int(high)) if rate is not None else None,
        transitions=tuple(_transition(_map(each)) for each in _list(details.get("transitions", []))),
    )


def _vector(value: Mapping[str, object]) -> dict[TrustClaim, int]:
    vector = {_BY_LABEL[name]: _int(each) for name, each in value.items()}
    if any(each not in _CLAIM_VALUES for each in vector.values()):
        message = "a trustworthiness claim beyond -128 to 127"
        raise ValueError(message)
    return {} if vector == _NO_CONCLUSION else vector


def _transition(value: Mapping[str, object]) -> Transition:
    return Transition(
        kind=TransitionKind[_text(value["kind"]).upper()],
        clock_ms=_int(value["clock_ms"]),
        reset_count=_int(value["reset"]),
        restart_count=_int(value["restart"]),
    )


def _rejections(value: Mapping[str, object]) -> Rejections:
    return Rejections(count=_int(value["count"]), last=_text(value["last"]), last_us=_int(value["last_us"]))


def _plain_claims(value: object) -> dict[str, str | int | bool]:
    return {name: claim for name, claim in _map(value).items() if isinstance(claim, str | int)}


def _map(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        message = f"expected an object, not {type(value).__name__}"
        raise TypeError(message)
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        message = f"expected text, not {type(value).__name__}"
        raise TypeError(message)
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        message = f"expected an array, not {type(value).__name__}"
        raise TypeError(message)
    return value


def _texts(value: object) -> tuple[str, ...]:
    return tuple(_text(item) for item in _list(value))


def _int(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > 2**53:
        message = f"expected an integer, not {str(value)[:40]!r}"
        raise TypeError(message)
    return value


def _optional_int(value: object) -> int | None:
    return None if value is None else _int(value)
