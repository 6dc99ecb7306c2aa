"""RFC 3161 time-stamp tokens and their TSTInfo (section 2.4.2), parsed as strict DER.

Parsing proves nothing: trust a :class:`TstInfo` only after its token was verified to a TSA root
(``runtime.time_stamps.verifier``). Times are integer microseconds of UTC since 1970, so no fraction is lost.
"""

from dataclasses import dataclass
from typing import Annotated, Final

from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier

from schemas.errors import PeerError
from schemas.instants import MILLISECOND_US, SECOND_US, microseconds
from schemas.limits import MAX_TIME_STAMP_TOKEN_BYTES
from schemas.reasons import Reason

OID_SIGNED_DATA: Final = "1.2.840.113549.1.7.2"  # RFC 5652, section 5.1
OID_TST_INFO: Final = "1.2.840.113549.1.9.16.1.4"  # RFC 3161, section 2.4.2
OID_SHA256: Final = "2.16.840.1.101.3.4.2.1"
_MAX_ACCURACY_SECONDS: Final = 86_400


@asn1.sequence
class _AlgorithmIdentifier:
    algorithm: ObjectIdentifier
    parameters: asn1.Null | None


@asn1.sequence
class _MessageImprint:
    hash_algorithm: _AlgorithmIdentifier
    hashed_message: bytes


@asn1.sequence
class _Accuracy:
    seconds: int | None
    millis: Annotated[int | None, asn1.Implicit(0)]
    micros: Annotated[int | None, asn1.Implicit(1)]


@asn1.sequence
class _TstInfo:
    version: int
    policy: ObjectIdentifier
    message_imprint: _MessageImprint
    serial_number: int
    gen_time: asn1.GeneralizedTime
    accuracy: _Accuracy | None
    ordering: Annotated[bool, asn1.Default(value=False)]
    nonce: int | None
    tsa: Annotated[list[asn1.TLV] | None, asn1.Implicit(0)]  # [0] EXPLICIT GeneralName: one inner value
    extensions: Annotated[list[asn1.TLV] | None, asn1.Implicit(1)]


@asn1.sequence
class _EncapsulatedContentInfo:
    content_type: ObjectIdentifier
    content: Annotated[bytes, asn1.Explicit(0)]


@asn1.sequence
class _SignedData:
    version: int
    digest_algorithms: asn1.SetOf[asn1.TLV]
    encapsulated: _EncapsulatedContentInfo
    certificates: Annotated[asn1.SetOf[asn1.TLV] | None, asn1.Implicit(0)]
    crls: Annotated[asn1.SetOf[asn1.TLV] | None, asn1.Implicit(1)]
    signer_infos: asn1.SetOf[asn1.TLV]


@asn1.sequence
class _ContentInfo:
    content_type: ObjectIdentifier
    content: Annotated[_SignedData, asn1.Explicit(0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class TstInfo:
    """The content of one token.

    Attributes:
        gen_time_us: genTime, microseconds of UTC since 1970.
        accuracy_us: the TSA's accuracy around genTime; 0 if the TSA does not state it.
        imprint: the stamped SHA-256, 32 bytes.
        serial: the token's serial number.
        policy: dotted OID of the TSA's policy.
        nonce: the request's nonce, if it had one.
    """

    gen_time_us: int
    accuracy_us: int
    imprint: bytes
    serial: int
    policy: str
    nonce: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """A time-stamp token that was verified to a trusted root. Only the TSA client makes one, after it has verified it.

    Attributes:
        token: DER with sorted sets, as handles and evidence bodies hold it.
        info: the content that the TSA signed.
    """

    token: bytes
    info: TstInfo


def parse_tst_info(der: bytes) -> TstInfo:
    """Parses a TSTInfo with a SHA-256 message imprint.

    Raises:
        PeerError: ``too-large``, ``malformed``.
    """
    if len(der) > MAX_TIME_STAMP_TOKEN_BYTES:
        raise PeerError(Reason.TOO_LARGE, f"TSTInfo: {len(der)} bytes, the limit is {MAX_TIME_STAMP_TOKEN_BYTES}")
    try:
        info = asn1.decode_der(_TstInfo, der)
    except ValueError as error:
        raise PeerError(Reason.MALFORMED, f"TSTInfo: not the DER of RFC 3161 ({error})") from error
    if info.version != 1:
        raise PeerError(Reason.MALFORMED, f"TSTInfo: version {info.version}, expected 1")
    imprint_oid = info.message_imprint.hash_algorithm.algorithm.dotted_string
    if imprint_oid != OID_SHA256:
        raise PeerError(Reason.MALFORMED, f"TSTInfo: imprint algorithm {imprint_oid}, expected SHA-256")
    return TstInfo(
        gen_time_us=microseconds(info.gen_time.as_datetime()),
        accuracy_us=_accuracy_us(info.accuracy),
        imprint=info.message_imprint.hashed_message,
        serial=info.serial_number,
        policy=info.policy.dotted_string,
        nonce=info.nonce,
    )


def extract_tst_info(token: bytes) -> bytes:
    """The DER TSTInfo in a time-stamp token (a CMS SignedData). The token's signature is not verified.

    Raises:
        PeerError: ``too-large``, ``malformed``.
    """
    if len(token) > MAX_TIME_STAMP_TOKEN_BYTES:
        raise PeerError(Reason.TOO_LARGE, f"time-stamp token: {len(token)} bytes")
    try:
        content = asn1.decode_der(_ContentInfo, token)
    except ValueError as error:
        raise PeerError(Reason.MALFORMED, f"time-stamp token: not DER CMS ({error})") from error
    encapsulated = content.content.encapsulated
    if content.content_type.dotted_string != OID_SIGNED_DATA or encapsulated.content_type.dotted_string != OID_TST_INFO:
        raise PeerError(Reason.MALFORMED, "time-stamp token: not SignedData over a TSTInfo")
    return encapsulated.content


def _accuracy_us(accuracy: _Accuracy | None) -> int:
    if accuracy is None:
        return 0
    seconds, millis, micros = accuracy.seconds or 0, accuracy.millis or 0, accuracy.micros or 0
    if not (0 <= seconds <= _MAX_ACCURACY_SECONDS and 0 <= millis <= 999 and 0 <= micros <= 999):  # noqa: PLR2004 RFC 3161, 2.4.2
        raise PeerError(Reason.MALFORMED, f"TSTInfo: accuracy {seconds}s {millis}ms {micros}us is out of range")
    return seconds * SECOND_US + millis * MILLISECOND_US + micros
