"""TPMS_ATTEST: what a TPM signs about itself (TCG TPM 2.0 Library Part 2, "Attestation Structures").

The parser is pure and strict: it accepts no trailing bytes, no unknown type and no size above the standard's, and it
raises only :class:`PeerError`. It checks no signature: **everything in an** :class:`Attest` **is untrusted until the
signature over these exact bytes is verified** with a key known to be a restricted attestation key. Only with such a key
does ``TPM_GENERATED_VALUE`` prove that the structure was made inside the TPM.

Obfuscation (Part 1, "Attestation"; Part 2, TPMS_ATTEST; ``tests/integration`` observes it). If the signing key is in
neither the endorsement nor the platform hierarchy, the TPM adds a secret constant to each of the *outer*
``reset_count``, ``restart_count`` and ``firmware_version``, modulo 2^32, 2^32 and 2^64. The constants depend on a
secret of the TPM and on the key's qualified name; they stay the same for one key until TPM2_Clear. The TPM never
obfuscates ``clock``, ``safe`` and the fields *inside* a :class:`TimeAttestInfo`. It follows that

* two attests of one key compare by their outer :class:`ClockInfo`, whatever the hierarchy: a counter changed if and
  only if the outer number changed. Its direction shows only modulo 2^32, and a restart count of 0 need not read 0;
* the inner numbers of a TimeAttestInfo compare with each other, but not with the outer ones of a quote;
* for a key of the endorsement hierarchy the inner and outer numbers are equal.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NoReturn

from schemas import limits
from schemas.errors import PeerError
from schemas.reasons import Reason
from schemas.tpm.pcr import PcrSelection, parse_selection, selection_end

TPM_GENERATED_VALUE: Final = 0xFF544347  # Part 2, table "TPM_GENERATED Constants": 0xFF "TCG"
MAX_NAME_BYTES: Final = 66  # Part 2, TPM2B_NAME: a TPMT_HA with SHA-512
MAX_EXTRA_DATA_BYTES: Final = 66  # Part 2, TPM2B_DATA: sizeof(TPMT_HA)
MAX_DIGEST_BYTES: Final = 64  # Part 2, TPM2B_DIGEST: SHA-512

_HEAD = struct.Struct(">IHH")  # magic, type, size of qualifiedSigner
_SIZE = struct.Struct(">H")
_CLOCK_FIRMWARE = struct.Struct(">QIIBQ")  # TPMS_CLOCK_INFO, firmwareVersion
_TIME_ATTEST = struct.Struct(">QQIIBQ")  # TPMS_TIME_ATTEST_INFO: time, TPMS_CLOCK_INFO, firmwareVersion


class AttestType(IntEnum):
    """The kinds of TPMS_ATTEST we use (Part 2, table "TPM_ST Constants")."""

    QUOTE = 0x8018
    TIME = 0x8019


_QUOTE: Final = AttestType.QUOTE
_TIME: Final = AttestType.TIME


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockInfo:
    """TPMS_CLOCK_INFO.

    Attributes:
        clock: milliseconds for which the TPM has had power since TPM2_Clear. TPM2_ClockSet may set it forward. After a
            power cut it continues from the last value stored in NV, which is up to 2^22 ms (70 minutes) old; ``safe``
            is then False. Within one reset count it never goes back (Part 1, "Clock").
        reset_count: number of TPM resets (boots) since TPM2_Clear.
        restart_count: number of suspends, and of resumes from hibernation, since the last reset.
        safe: False if the TPM may have reported the same or a greater ``clock`` before: the last shutdown was not
            orderly, and ``clock`` has not reached its next stored value yet.
    """

    clock: int
    reset_count: int
    restart_count: int
    safe: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteInfo:
    """TPMS_QUOTE_INFO.

    Attributes:
        pcr_selection: the PCRs that the TPM digested; it drops requested PCRs that it does not implement.
        pcr_digest: :func:`schemas.tpm.pcr.composite_digest` with the hash of the key's signing scheme; at most 64
            bytes.
    """

    pcr_selection: PcrSelection
    pcr_digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeAttestInfo:
    """TPMS_TIME_ATTEST_INFO, from TPM2_GetTime. Never obfuscated.

    Attributes:
        time: milliseconds since the TPM was last reset or powered on; starts at zero each time.
        clock_info: plain; equals the outer one only for keys of the endorsement or platform hierarchy.
        firmware_version: plain.
    """

    time: int
    clock_info: ClockInfo
    firmware_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Attest:
    """TPMS_ATTEST, well-formed and **untrusted** until the signature over its exact bytes is verified.

    Attributes:
        type: the kind of ``attested``.
        qualified_signer: qualified name of the signing key; at most 66 bytes. Only a claim until the key is known.
        extra_data: the caller's qualifyingData; at most 66 bytes.
        clock_info: its counters are obfuscated unless the key is in the endorsement or platform hierarchy (see above).
        firmware_version: obfuscated likewise.
        attested: :class:`QuoteInfo` when ``type`` is QUOTE, :class:`TimeAttestInfo` when it is TIME.
    """

    type: AttestType
    qualified_signer: bytes
    extra_data: bytes
    clock_info: ClockInfo
    firmware_version: int
    attested: QuoteInfo | TimeAttestInfo


def parse_attest(raw: bytes) -> Attest:
    """Parses a TPMS_ATTEST (the content of a TPM2B_ATTEST, without its size).

    Args:
        raw: untrusted bytes, exactly one structure.

    Returns:
        The structure, **untrusted**: see the module.

    Raises:
        PeerError: ``too-large``; ``attest-not-tpm-generated`` for another magic; ``attest-type-wrong`` for another type
            than quote or time attest; ``malformed`` naming the field.
    """
    if len(raw) > limits.MAX_ATTEST_BYTES:
        raise PeerError(Reason.TOO_LARGE, f"attest: {len(raw)} bytes, the limit is {limits.MAX_ATTEST_BYTES}")
    field = "header"
    try:
        magic, kind, size = _HEAD.unpack_from(raw)
        if magic != TPM_GENERATED_VALUE:
            raise PeerError(Reason.ATTEST_NOT_TPM_GENERATED, f"attest magic {magic:#010x}")
        if kind not in (_QUOTE, _TIME):
            raise PeerError(Reason.ATTEST_TYPE_WRONG, f"attest type {kind:#06x}: neither a quote nor a time attest")
        if size > MAX_NAME_BYTES:
            _refuse_size("qualifiedSigner", size, MAX_NAME_BYTES)
        position = 8 + size
        signer = raw[8:position]
        field = "qualifiedSigner or extraData"
        (size,) = _SIZE.unpack_from(raw, position)
        if size > MAX_EXTRA_DATA_BYTES:
            _refuse_size("extraData", size, MAX_EXTRA_DATA_BYTES)
        extra_data = raw[position + 2 : position + 2 + size]
        position += 2 + size
        field = "extraData, clockInfo or firmwareVersion"
        clock, reset_count, restart_count, safe, firmware_version = _CLOCK_FIRMWARE.unpack_from(raw, position)
    except struct.error as error:
        raise PeerError(Reason.MALFORMED, f"attest: cut short in {field}") from error
    position += _CLOCK_FIRMWARE.size
    return Attest(
        type=_QUOTE if kind == _QUOTE else _TIME,
        qualified_signer=signer,
        extra_data=extra_data,
        clock_info=_clock_info(clock, reset_count, restart_count, safe),
        firmware_version=firmware_version,
        attested=_parse_quote(raw, position) if kind == _QUOTE else _parse_time(raw, position),
    )


def _parse_quote(raw: bytes, start: int) -> QuoteInfo:
    position = selection_end(raw, start)
    selection = parse_selection(raw[start:position])
    digest = raw[position + _SIZE.size :]
    size = int.from_bytes(raw[position : position + _SIZE.size], "big")
    if size > MAX_DIGEST_BYTES:
        _refuse_size("pcrDigest", size, MAX_DIGEST_BYTES)
    if len(raw) != position + _SIZE.size + size:
        raise PeerError(Reason.MALFORMED, f"attest pcrDigest: {len(digest)} bytes left for {size}")
    return QuoteInfo(pcr_selection=selection, pcr_digest=digest)


def _parse_time(raw: bytes, start: int) -> TimeAttestInfo:
    if len(raw) != start + _TIME_ATTEST.size:
        raise PeerError(Reason.MALFORMED, f"attest time: {len(raw) - start} bytes, expected {_TIME_ATTEST.size}")
    time, clock, reset_count, restart_count, safe, firmware_version = _TIME_ATTEST.unpack_from(raw, start)
    return TimeAttestInfo(
        time=time,
        clock_info=_clock_info(clock, reset_count, restart_count, safe),
        firmware_version=firmware_version,
    )


def _clock_info(clock: int, reset_count: int, restart_count: int, safe: int) -> ClockInfo:
    if safe > 1:
        raise PeerError(Reason.MALFORMED, f"attest clockInfo safe: {safe}, expected 0 or 1")  # Part 2, TPMI_YES_NO
    return ClockInfo(clock=clock, reset_count=reset_count, restart_count=restart_count, safe=safe == 1)


def _refuse_size(field: str, size: int, limit: int) -> NoReturn:
    raise PeerError(Reason.MALFORMED, f"attest {field}: {size} bytes, the limit is {limit}")
