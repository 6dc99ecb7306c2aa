"""Solicits: a verifier asks one attester to push now, to resend logs from an index, or to synchronise again.

The verifier signs them. An attester accepts only solicits that are newer than the last one of that verifier, so a
replay has no effect; it also limits their rate.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

from schemas import media_types
from schemas.codecs import cbor, cose
from schemas.codecs.fields import as_bool, as_bytes, as_map, as_text, as_uint
from schemas.identifiers import Ueid, parse_log_name, parse_ueid
from schemas.limits import MAX_LOG_ENTRIES, MAX_LOGS
from schemas.reasons import Reason

_UEID, _VERIFIER, _ISSUED, _REASON, _FULL, _LOGS = 1, 2, 3, 4, 5, 6
_PROTECTED: Final = {cose.HEADER_TYPE: media_types.SOLICIT}
_MAX_BYTES: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Solicit:
    """A verifier's request.

    Attributes:
        ueid: the attester.
        verifier: the verifier's name.
        issued_us: the verifier's clock; later solicits of one verifier have greater values.
        reason: the reason code.
        full: resend all claims and PCR values, and the logs from ``logs``.
        logs: index of the first entry to send, by log name. Of other logs the attester sends its new entries.
    """

    ueid: Ueid
    verifier: str
    issued_us: int
    reason: str
    full: bool
    logs: Mapping[str, int] = field(default_factory=dict)


def sign_solicit(solicit: Solicit, key: EllipticCurvePrivateKey) -> bytes:
    """The signed bytes of a solicit."""
    payload: dict[int, object] = {
        _UEID: solicit.ueid,
        _VERIFIER: solicit.verifier,
        _ISSUED: solicit.issued_us,
        _REASON: solicit.reason,
        _FULL: solicit.full,
    }
    if solicit.logs:
        payload[_LOGS] = dict(solicit.logs)
    return cose.encode(cose.sign(cbor.encode(payload), key, _PROTECTED))


def verify_solicit(raw: bytes, keys: Mapping[bytes, EllipticCurvePublicKey]) -> Solicit:
    """Verifies the signature and parses.

    Args:
        raw: the value of the CMW record.
        keys: the trusted verifiers' keys by ``cose.key_id``.

    Raises:
        PeerError: ``too-large``, ``malformed``, ``object-signature-invalid``.
    """
    sign1 = cose.parse(raw, "solicit", max_bytes=_MAX_BYTES)
    payload = cose.verify(sign1, keys, _PROTECTED, Reason.OBJECT_SIGNATURE_INVALID)
    items = as_map(
        cbor.decode(payload, "solicit"),
        "solicit",
        required=(_UEID, _VERIFIER, _ISSUED, _REASON, _FULL),
        optional=(_LOGS,),
    )
    logs = as_map(items[_LOGS], "solicit logs", limit=MAX_LOGS) if _LOGS in items else {}
    return Solicit(
        ueid=parse_ueid(as_bytes(items[_UEID], "solicit ueid")),
        verifier=as_text(items[_VERIFIER], "solicit verifier", limit=64),
        issued_us=as_uint(items[_ISSUED], "solicit issued"),
        reason=as_text(items[_REASON], "solicit reason", limit=64),
        full=as_bool(items[_FULL], "solicit full"),
        logs={
            parse_log_name(as_text(name, "log name", limit=64)): as_uint(start, "log start", maximum=MAX_LOG_ENTRIES)
            for name, start in logs.items()
        },
    )
