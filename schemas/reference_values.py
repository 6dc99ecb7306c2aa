"""Reference values: what PCRs and measured files may be (signed CoRIM, reference triples).

One measurement ``registers`` holds the acceptable digests of PCRs as integrity registers (CoMID mval key 14); a
measurement ``file`` holds the digests of one measured file and its path as a name for people (mval keys 2, 11); a
measurement ``ima-key`` holds a key whose file signatures are as good as a listed digest (mval key 13).
A file is accepted by its digest alone: paths in a log are the attester's word.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

from schemas import cbor, corim
from schemas.errors import PeerError
from schemas.fields import as_array, as_bytes, as_map, as_tag, as_text, as_uint
from schemas.hashes import BY_NI_ID, HashAlgorithm
from schemas.ima_signature import FileKey, parse_file_key
from schemas.limits import MAX_FILE_KEYS, MAX_PCR_INDEX, MAX_TEXT_BYTES
from schemas.reasons import Reason

_ENVIRONMENT_CLASS, _CLASS_MODEL = 0, 2
_MEASUREMENT_KEY, _MEASUREMENT_VALUE = 0, 1
_VALUE_DIGESTS, _VALUE_NAME, _VALUE_KEYS, _VALUE_REGISTERS = 2, 11, 13, 14
_KEY_REGISTERS: Final = "registers"
_KEY_FILE: Final = "file"
_KEY_IMA_KEY: Final = "ima-key"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceValues:
    """One named set of reference values.

    Attributes:
        name: the set's name; policies refer to it.
        version: greater versions replace smaller ones.
        signer: the endorser's name.
        not_before_s: start of validity, UTC seconds.
        not_after_s: end of validity, UTC seconds.
        registers: acceptable PCR values by bank and PCR index.
        files: acceptable file digests and, for people, a path each.
        keys: files that one of them has signed are acceptable, too.
    """

    name: str
    version: int
    signer: str
    not_before_s: int
    not_after_s: int
    registers: Mapping[HashAlgorithm, Mapping[int, frozenset[bytes]]] = field(default_factory=dict)
    files: Mapping[bytes, str] = field(default_factory=dict)
    keys: tuple[FileKey, ...] = ()


def sign_reference_values(values: ReferenceValues, key: EllipticCurvePrivateKey) -> bytes:
    """Signs one set; file digests must be of an algorithm with a Named Information id, one size per digest."""
    measurements: list[object] = []
    if values.registers:
        registers = _encode_registers(values.registers)
        measurements.append({_MEASUREMENT_KEY: _KEY_REGISTERS, _MEASUREMENT_VALUE: {_VALUE_REGISTERS: registers}})
    by_size = {algorithm.size: algorithm.ni_id for algorithm in BY_NI_ID.values()}
    for digest, path in sorted(values.files.items()):
        value = {_VALUE_DIGESTS: [[by_size[len(digest)], digest]], _VALUE_NAME: path}
        measurements.append({_MEASUREMENT_KEY: _KEY_FILE, _MEASUREMENT_VALUE: value})
    for signer in values.keys:
        pem = {_VALUE_KEYS: [cbor.Tag(corim.TAG_PEM_KEY, signer.pem())]}
        measurements.append({_MEASUREMENT_KEY: _KEY_IMA_KEY, _MEASUREMENT_VALUE: pem})
    environment = {_ENVIRONMENT_CLASS: {_CLASS_MODEL: values.name}}
    manifest = corim.Manifest(
        identity=f"attestream.reference-values.{values.name}",
        version=values.version,
        signer=values.signer,
        not_before_s=values.not_before_s,
        not_after_s=values.not_after_s,
        triples={corim.TRIPLES_REFERENCE: [[environment, measurements]]},
    )
    return corim.sign_manifest(manifest, key)


def verify_reference_values(raw: bytes, keys: Mapping[bytes, EllipticCurvePublicKey]) -> ReferenceValues:
    """Verifies the endorser's signature and parses; validity and version are for the trust store to judge.

    Raises:
        PeerError: ``too-large``, ``malformed``, ``object-signature-invalid``.
    """
    manifest = corim.verify_manifest(raw, keys)
    environment, rest = corim.single_triple(manifest, corim.TRIPLES_REFERENCE, "reference values")
    outer = as_map(environment, "environment", required=(_ENVIRONMENT_CLASS,), optional=())
    model = as_map(outer[_ENVIRONMENT_CLASS], "environment class", required=(_CLASS_MODEL,), optional=())
    name = as_text(model[_CLASS_MODEL], "environment model", limit=64)
    if manifest.identity != f"attestream.reference-values.{name}":
        raise PeerError(Reason.MALFORMED, "reference values: the CoMID id is not that of the environment")
    registers, files, file_keys = _parse_measurements(as_array(rest[0], "measurements"))
    return ReferenceValues(
        name=name,
        version=manifest.version,
        signer=manifest.signer,
        not_before_s=manifest.not_before_s,
        not_after_s=manifest.not_after_s,
        registers=registers,
        files=files,
        keys=file_keys,
    )


def _encode_registers(banks: Mapping[HashAlgorithm, Mapping[int, frozenset[bytes]]]) -> dict[int, list[object]]:
    registers: dict[int, list[object]] = {}
    for algorithm, values in banks.items():
        for index, digests in values.items():
            if len(digests) != 1:
                # CoMID digests hold one value per algorithm; alternatives are further measurements.
                message = f"PCR {index}: {len(digests)} alternatives in one set; make one set for each"
                raise ValueError(message)
            registers.setdefault(index, []).extend([algorithm.ni_id, digest] for digest in digests)
    return registers


def _parse_measurements(
    items: Iterable[object],
) -> tuple[dict[HashAlgorithm, dict[int, frozenset[bytes]]], dict[bytes, str], tuple[FileKey, ...]]:
    registers: dict[HashAlgorithm, dict[int, frozenset[bytes]]] = {}
    files: dict[bytes, str] = {}
    file_keys: list[FileKey] = []
    keys = (_MEASUREMENT_KEY, _MEASUREMENT_VALUE)
    for item in items:
        measurement = as_map(item, "measurement", required=keys, optional=())
        value = as_map(measurement[_MEASUREMENT_VALUE], "measurement value")
        match measurement[_MEASUREMENT_KEY]:
            case "registers":
                _parse_registers(value, registers)
            case "file":
                path = as_text(value.get(_VALUE_NAME), "file name", limit=MAX_TEXT_BYTES)
                for _, digest in _parse_digests(value.get(_VALUE_DIGESTS), "file"):
                    files[digest] = path
            case "ima-key":
                file_keys.append(_parse_key(value.get(_VALUE_KEYS)))
            case other:
                message = f"measurement key {str(other)[:64]!r}: expected registers, file or ima-key"
                raise PeerError(Reason.MALFORMED, message)
    if len(file_keys) > MAX_FILE_KEYS:
        raise PeerError(Reason.TOO_LARGE, f"{len(file_keys)} keys that sign files, the limit is {MAX_FILE_KEYS}")
    return registers, files, tuple(file_keys)


def _parse_registers(
    value: Mapping[object, object], registers: dict[HashAlgorithm, dict[int, frozenset[bytes]]]
) -> None:
    for index, digests in as_map(value.get(_VALUE_REGISTERS), "integrity registers").items():
        pcr = as_uint(index, "PCR index", maximum=MAX_PCR_INDEX)
        for algorithm, digest in _parse_digests(digests, f"PCR {pcr}"):
            bank = registers.setdefault(algorithm, {})
            bank[pcr] = bank.get(pcr, frozenset()) | {digest}


def _parse_key(value: object) -> FileKey:
    (item,) = as_array(value, "ima-key keys", length=1)
    return parse_file_key(as_text(as_tag(item, corim.TAG_PEM_KEY, "ima-key"), "ima-key", limit=MAX_TEXT_BYTES).encode())


def _parse_digests(value: object, name: str) -> list[tuple[HashAlgorithm, bytes]]:
    digests = []
    for item in as_array(value, f"{name} digests", limit=len(BY_NI_ID)):
        algorithm_id, digest = as_array(item, f"{name} digest", length=2)
        algorithm = BY_NI_ID.get(as_uint(algorithm_id, f"{name} digest algorithm"))
        if algorithm is None:
            raise PeerError(Reason.MALFORMED, f"{name} digest algorithm {algorithm_id!r} is unknown")
        digests.append((algorithm, as_bytes(digest, f"{name} digest", size=algorithm.size)))
    if not digests:
        raise PeerError(Reason.MALFORMED, f"{name}: no digests")
    return digests
