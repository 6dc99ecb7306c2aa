"""Reference values: the acceptable values of PCRs and digests of files (signed CoRIM, reference triples).

A triple has up to three kinds of measurements: ``registers``, integrity registers (CoMID mval key 14) by PCR index;
``files``, integrity registers by path; ``ima-key``, a key (mval key 13) that signs acceptable files. One list cannot
hold two digests of one algorithm, and different reference states of one environment are separate triples (draft,
5.1.5.1): the second alternative of every register and path is in the second triple, and so on. Verifiers compare each
register and each file by itself, so it does not matter which triple an alternative is in. A file is accepted by its
digest alone: nothing proves the paths in a log.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

from schemas.codecs import cbor
from schemas.codecs.fields import as_array, as_bytes, as_map, as_tag, as_text, as_uint
from schemas.errors import PeerError
from schemas.hashes import BY_NI_ID, HashAlgorithm
from schemas.ima.signature import FileKey, parse_file_key
from schemas.limits import MAX_FILE_KEYS, MAX_PCR_INDEX, MAX_TEXT_BYTES
from schemas.messages import corim
from schemas.reasons import Reason

_ENVIRONMENT_CLASS, _CLASS_MODEL = 0, 2
_MEASUREMENT_KEY, _MEASUREMENT_VALUE = 0, 1
_VALUE_KEYS, _VALUE_REGISTERS = 13, 14
_KEY_REGISTERS: Final = "registers"
_KEY_FILES: Final = "files"
_KEY_IMA_KEY: Final = "ima-key"
_NI_ID_OF_SIZE: Final = {algorithm.size: algorithm.ni_id for algorithm in BY_NI_ID.values()}
_SIZE_OF_NI_ID: Final = {algorithm.ni_id: algorithm.size for algorithm in BY_NI_ID.values()}

Registers: TypeAlias = Mapping[HashAlgorithm, Mapping[int, frozenset[bytes]]]
Files: TypeAlias = Mapping[bytes, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """Values of earlier versions that stay acceptable until ``until_s``, UTC seconds, while a fleet is updated."""

    until_s: int
    registers: Registers = field(default_factory=dict)
    files: Files = field(default_factory=dict)


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
        files: acceptable file digests, each with a path for people.
        keys: keys that sign acceptable files.
        outgoing: values that stay acceptable for some time; None if there are none.
    """

    name: str
    version: int
    signer: str
    not_before_s: int
    not_after_s: int
    registers: Registers = field(default_factory=dict)
    files: Files = field(default_factory=dict)
    keys: tuple[FileKey, ...] = ()
    outgoing: Outgoing | None = None


def sign_reference_values(values: ReferenceValues, key: EllipticCurvePrivateKey) -> bytes:
    """Signs one set. The algorithms of file digests must have a Named Information id; the size shows which it is."""
    outgoing = values.outgoing
    manifest = corim.Manifest(
        identity=f"attestream.reference-values.{values.name}",
        version=values.version,
        signer=values.signer,
        not_before_s=values.not_before_s,
        not_after_s=values.not_after_s,
        triples=_encode_triples(values.name, values.registers, values.files, values.keys),
        outgoing=None
        if outgoing is None
        else corim.OutgoingTriples(
            until_s=outgoing.until_s, triples=_encode_triples(values.name, outgoing.registers, outgoing.files, ())
        ),
    )
    return corim.sign_manifest(manifest, key)


def verify_reference_values(raw: bytes, keys: Mapping[bytes, EllipticCurvePublicKey]) -> ReferenceValues:
    """Verifies the endorser's signature and parses. The trust store checks validity and version.

    Raises:
        PeerError: ``too-large``, ``malformed``, ``object-signature-invalid``.
    """
    manifest = corim.verify_manifest(raw, keys)
    name, values = _parse_triples(manifest.triples)
    if manifest.identity != f"attestream.reference-values.{name}":
        raise PeerError(Reason.MALFORMED, "reference values: the CoMID id does not name the environment")
    return ReferenceValues(
        name=name,
        version=manifest.version,
        signer=manifest.signer,
        not_before_s=manifest.not_before_s,
        not_after_s=manifest.not_after_s,
        registers=values.registers,
        files=values.files,
        keys=tuple(values.keys),
        outgoing=None if manifest.outgoing is None else _parse_outgoing(manifest.outgoing, name),
    )


def _encode_triples(name: str, registers: Registers, files: Files, keys: tuple[FileKey, ...]) -> dict[object, object]:
    """The triples map. The n-th triple holds the n-th alternative of each register and path."""
    by_layer: dict[int, tuple[dict[int, list[object]], dict[str, list[object]]]] = {}
    for algorithm, indices in registers.items():
        for index, digests in indices.items():
            for layer, digest in enumerate(sorted(digests)):
                found = by_layer.setdefault(layer, ({}, {}))[0]
                found.setdefault(index, []).append([algorithm.ni_id, digest])
    seen: Counter[str] = Counter()
    for digest, path in sorted(files.items()):
        found_files = by_layer.setdefault(seen[path], ({}, {}))[1]
        found_files[path] = [[_NI_ID_OF_SIZE[len(digest)], digest]]
        seen[path] += 1
    records: list[object] = []
    for layer in range(max(by_layer, default=0) + 1):
        pcrs, paths = by_layer.get(layer, ({}, {}))
        measurements: list[object] = [
            {_MEASUREMENT_KEY: kind, _MEASUREMENT_VALUE: {_VALUE_REGISTERS: content}}
            for kind, content in ((_KEY_REGISTERS, pcrs), (_KEY_FILES, paths))
            if content
        ]
        if layer == 0:
            measurements += [_encode_key(key) for key in keys]
        records.append([{_ENVIRONMENT_CLASS: {_CLASS_MODEL: name}}, measurements])
    return {corim.TRIPLES_REFERENCE: records}


def _encode_key(key: FileKey) -> dict[int, object]:
    pem = {_VALUE_KEYS: [cbor.Tag(corim.TAG_PEM_KEY, key.pem())]}
    return {_MEASUREMENT_KEY: _KEY_IMA_KEY, _MEASUREMENT_VALUE: pem}


@dataclass(slots=True)
class _Parsed:
    """The values of all triples of one CoMID."""

    registers: dict[HashAlgorithm, dict[int, frozenset[bytes]]] = field(default_factory=dict)
    files: dict[bytes, str] = field(default_factory=dict)
    keys: list[FileKey] = field(default_factory=list)


def _parse_outgoing(outgoing: corim.OutgoingTriples, name: str) -> Outgoing:
    its_name, values = _parse_triples(outgoing.triples)
    if its_name != name or values.keys:
        raise PeerError(Reason.MALFORMED, "outgoing reference values: another environment, or keys")
    return Outgoing(until_s=outgoing.until_s, registers=values.registers, files=values.files)


def _parse_triples(triples: Mapping[object, object]) -> tuple[str, _Parsed]:
    """The name that all triples share, and their values."""
    parsed, names = _Parsed(), set()
    for environment, rest in corim.all_triples(triples, corim.TRIPLES_REFERENCE, "reference values"):
        outer = as_map(environment, "environment", required=(_ENVIRONMENT_CLASS,), optional=())
        model = as_map(outer[_ENVIRONMENT_CLASS], "environment class", required=(_CLASS_MODEL,), optional=())
        names.add(as_text(model[_CLASS_MODEL], "environment model", limit=64))
        (measurements,) = as_array(rest, "reference triple", length=1)
        _parse_measurements(as_array(measurements, "measurements"), parsed)
    if len(names) != 1:
        raise PeerError(Reason.MALFORMED, f"reference values: {len(names)} environments, expected one")
    if len(parsed.keys) > MAX_FILE_KEYS:
        raise PeerError(Reason.TOO_LARGE, f"{len(parsed.keys)} keys that sign files, the limit is {MAX_FILE_KEYS}")
    return names.pop(), parsed


def _parse_measurements(items: Sequence[object], parsed: _Parsed) -> None:
    if not items:
        raise PeerError(Reason.MALFORMED, "measurements: none")
    for item in items:
        measurement = as_map(item, "measurement", required=(_MEASUREMENT_KEY, _MEASUREMENT_VALUE), optional=())
        value = measurement[_MEASUREMENT_VALUE]
        match measurement[_MEASUREMENT_KEY]:
            case "registers":
                _parse_registers(_registers_of(value), parsed.registers)
            case "files":
                _parse_files(_registers_of(value), parsed.files)
            case "ima-key":
                parsed.keys.append(_parse_key(value))
            case other:
                message = f"measurement key {str(other)[:64]!r}: expected registers, files or ima-key"
                raise PeerError(Reason.MALFORMED, message)


def _registers_of(value: object) -> Mapping[object, object]:
    mval = as_map(value, "measurement value", required=(_VALUE_REGISTERS,), optional=())
    registers = as_map(mval[_VALUE_REGISTERS], "integrity registers")
    if not registers:
        raise PeerError(Reason.MALFORMED, "integrity registers: none")
    return registers


def _parse_registers(
    items: Mapping[object, object], registers: dict[HashAlgorithm, dict[int, frozenset[bytes]]]
) -> None:
    for index, digests in items.items():
        pcr = as_uint(index, "PCR index", maximum=MAX_PCR_INDEX)
        for algorithm, digest in _parse_digests(digests, f"PCR {pcr}"):
            bank = registers.setdefault(algorithm, {})
            bank[pcr] = bank.get(pcr, frozenset()) | {digest}


def _parse_files(items: Mapping[object, object], files: dict[bytes, str]) -> None:
    """Adds files. A set may have 100,000, so the loop has a fast path for the usual form, one digest a file."""
    sizes = _SIZE_OF_NI_ID
    for path, digests in items.items():
        if type(path) is not str or len(path) > MAX_TEXT_BYTES:
            raise PeerError(Reason.MALFORMED, f"file name: expected a text string of at most {MAX_TEXT_BYTES}")
        if type(digests) is list and len(digests) == 1 and type(digests[0]) is list and len(digests[0]) == 2:  # noqa: PLR2004 algorithm and value
            algorithm_id, digest = digests[0]
            if type(algorithm_id) is int and type(digest) is bytes and sizes.get(algorithm_id) == len(digest):
                files[digest] = path
                continue
        for _, digest in _parse_digests(digests, "file"):
            files[digest] = path


def _parse_key(value: object) -> FileKey:
    mval = as_map(value, "ima-key", required=(_VALUE_KEYS,), optional=())
    (item,) = as_array(mval[_VALUE_KEYS], "ima-key keys", length=1)
    return parse_file_key(as_text(as_tag(item, corim.TAG_PEM_KEY, "ima-key"), "ima-key", limit=MAX_TEXT_BYTES).encode())


def _parse_digests(value: object, name: str) -> list[tuple[HashAlgorithm, bytes]]:
    digests = []
    for item in as_array(value, f"{name} digests"):
        algorithm_id, digest = as_array(item, f"{name} digest", length=2)
        algorithm = BY_NI_ID.get(as_uint(algorithm_id, f"{name} digest algorithm"))
        if algorithm is None:
            raise PeerError(Reason.MALFORMED, f"{name} digest algorithm {algorithm_id!r} is unknown")
        digests.append((algorithm, as_bytes(digest, f"{name} digest", size=algorithm.size)))
    if not digests or len({algorithm for algorithm, _ in digests}) < len(digests):
        raise PeerError(Reason.MALFORMED, f"{name}: no digests, or several of one algorithm")
    return digests
