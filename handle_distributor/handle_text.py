"""A verified handle as lines of text for people."""

from cryptography.hazmat.primitives.serialization.pkcs7 import load_der_pkcs7_certificates

from schemas.codecs import cose
from schemas.codecs.tst_info import parse_tst_info
from schemas.instants import SECOND_US, iso_text
from schemas.messages.handle import Handle


def describe(handle: Handle) -> str:
    """One line for each thing that the handle states."""
    claims, sign1 = handle.claims, cose.parse(handle.raw, "handle")
    token = sign1.unprotected[cose.HEADER_3161_CTT]
    certificates = load_der_pkcs7_certificates(token) if isinstance(token, bytes) else []
    marker = parse_tst_info(claims.epoch_marker)
    lines = {
        "id": handle.id.hex(),
        "issuer": f"{claims.issuer} (key {sign1.key_id.hex()})",
        "time": f"{_utc(handle.time_us)} ± {handle.accuracy_us / SECOND_US:g} s, by the TSA",
        "epoch marker": f"{_utc(marker.gen_time_us)}, serial {marker.serial}, policy {marker.policy}",
        "not before": _utc(claims.not_before_s * SECOND_US),
        "expires": _utc(handle.expires_us),
        "previous": claims.previous.hex() if claims.previous else "none: the first of its chain",
        "TSA": "; ".join(certificate.subject.rfc4514_string() for certificate in certificates),
        "size": f"{len(handle.raw)} bytes",
    }
    return "\n".join(f"{name + ':':<14}{value}" for name, value in lines.items())


def _utc(time_us: int) -> str:
    return iso_text(time_us, "milliseconds")
