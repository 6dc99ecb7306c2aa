"""Signed reference values: acceptable PCRs and files."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key

from schemas.codecs import cbor, cose
from schemas.errors import PeerError
from schemas.hashes import SHA256, SHA384
from schemas.messages import corim
from schemas.messages.reference_values import Outgoing, ReferenceValues, sign_reference_values, verify_reference_values
from schemas.reasons import Reason
from tests.builders.file_signing import file_key

KEY = derive_private_key(41, SECP256R1())
KEYS = {cose.key_id(KEY.public_key()): KEY.public_key()}
VALUES = ReferenceValues(
    name="firmware",
    version=2,
    signer="tests",
    not_before_s=1,
    not_after_s=2_000_000_000,
    registers={
        SHA256: {0: frozenset({b"\x00" * 32}), 7: frozenset({b"\x07" * 32})},
        SHA384: {0: frozenset({b"\x00" * 48})},
    },
    files={b"\xaa" * 32: "/usr/bin/true", b"\xbb" * 64: "/usr/bin/false"},
    keys=(file_key(KEY),),
)
PEM = cbor.Tag(corim.TAG_PEM_KEY, file_key(KEY).pem())
DIGEST = [SHA256.ni_id, bytes(32)]


def refusal(raw: bytes) -> Reason:
    with pytest.raises(PeerError) as refused:
        verify_reference_values(raw, KEYS)
    return refused.value.reason


def with_measurements(measurements: object) -> bytes:
    manifest = corim.verify_manifest(sign_reference_values(VALUES, KEY), KEYS)
    triples: dict[object, object] = {corim.TRIPLES_REFERENCE: [[{0: {2: "firmware"}}, measurements]]}
    return corim.sign_manifest(replace(manifest, triples=triples), KEY)


def test_the_signed_content_comes_back() -> None:
    assert verify_reference_values(sign_reference_values(VALUES, KEY), KEYS) == VALUES


def test_a_thousand_files_fit_into_one_message() -> None:
    files = {index.to_bytes(32, "big"): f"/usr/bin/program-number-{index}" for index in range(1200)}
    raw = sign_reference_values(replace(VALUES, files=files), KEY)
    assert len(raw) < 200_000
    assert verify_reference_values(raw, KEYS).files == files


def test_a_strangers_values_are_refused() -> None:
    raw = sign_reference_values(VALUES, derive_private_key(42, SECP256R1()))
    assert refusal(raw) == Reason.OBJECT_SIGNATURE_INVALID


def test_alternatives_are_separate_triples() -> None:
    """Draft, 5.1.5.1: different reference states of an environment; 7.7: each algorithm once in a list."""
    registers = {SHA256: {0: frozenset({bytes(32), b"\x01" * 32}), 1: frozenset({b"\x02" * 32})}}
    files = {b"\xaa" * 32: "/usr/bin/true", b"\xab" * 32: "/usr/bin/true", b"\xac" * 32: "/usr/bin/false"}
    values = replace(VALUES, registers=registers, files=files)
    raw = sign_reference_values(values, KEY)
    assert verify_reference_values(raw, KEYS) == values
    triples = corim.all_triples(corim.verify_manifest(raw, KEYS).triples, corim.TRIPLES_REFERENCE, "test")
    assert [environment for environment, _ in triples] == [{0: {2: "firmware"}}] * 2
    assert triples[1][1] == (
        [
            {0: "registers", 1: {14: {0: [[1, b"\x01" * 32]]}}},
            {0: "files", 1: {14: {"/usr/bin/true": [[1, b"\xab" * 32]]}}},
        ],
    )


OUTGOING = Outgoing(
    until_s=5, registers={SHA256: {0: frozenset({b"\x05" * 32})}}, files={b"\x06" * 32: "/usr/bin/before"}
)


def test_outgoing_values_come_back_with_their_end() -> None:
    values = replace(VALUES, outgoing=OUTGOING)
    assert verify_reference_values(sign_reference_values(values, KEY), KEYS) == values


def with_corim(change: Callable[[dict[object, object]], None]) -> bytes:
    sign1 = cose.parse(sign_reference_values(replace(VALUES, outgoing=OUTGOING), KEY), "test")
    decoded = cbor.decode(sign1.unverified_payload, "test")
    assert isinstance(decoded, cbor.Tag)
    content = dict(decoded.value)
    change(content)
    headers = {label: sign1.headers[label] for label in (cose.HEADER_CONTENT_TYPE, corim.HEADER_CORIM_META)}
    return cose.encode(cose.sign(cbor.encode(cbor.Tag(corim.TAG_CORIM, content)), KEY, headers))


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop(3),
        lambda content: content.update({3: cbor.Tag(corim.TAG_URI, "tag:example,2026:other")}),
        lambda content: content.update({3: corim.PROFILE_OUTGOING}),
        lambda content: content.update({1: content[1][:1]}),
        lambda content: content.update({1: content[1][::-1]}),
        lambda content: content.update({1: [content[1][0], content[1][0]]}),
        lambda content: content.update({1: [*content[1], content[1][1]]}),
    ],
)
def test_outgoing_values_come_with_their_profile(
    change: Callable[[dict[object, object]], None],
) -> None:
    assert refusal(with_corim(change)) == Reason.MALFORMED


def test_an_endorsement_has_no_outgoing_values() -> None:
    manifest = corim.verify_manifest(sign_reference_values(replace(VALUES, outgoing=OUTGOING), KEY), KEYS)
    with pytest.raises(PeerError):
        corim.single_triple(manifest, corim.TRIPLES_REFERENCE, "test")


@pytest.mark.parametrize(
    "measurements",
    [
        7,
        [7],
        [],
        [{0: "files"}],
        [{0: "other", 1: {14: {"x": [DIGEST]}}}],
        [{0: "files", 1: {14: {}}}],
        [{0: "files", 1: {14: {"x": [DIGEST]}, 11: "x"}}],
        [{0: "files", 1: {14: {"x": []}}}],
        [{0: "files", 1: {14: {"x": [DIGEST, DIGEST]}}}],
        [{0: "files", 1: {14: {"x": [[99, bytes(32)]]}}}],
        [{0: "files", 1: {14: {"x": [[SHA256.ni_id, bytes(31)]]}}}],
        [{0: "files", 1: {14: {"x": [[True, bytes(32)]]}}}],
        [{0: "files", 1: {14: {5: [DIGEST]}}}],
        [{0: "files", 1: {14: {"x" * 4097: [DIGEST]}}}],
        [{0: "registers", 1: {14: {"x": [DIGEST]}}}],
        [{0: "registers", 1: {14: {0: [DIGEST, DIGEST]}}}],
        [{0: "registers", 1: {14: {24: [DIGEST]}}}],
        [{0: "registers", 1: {14: {0: DIGEST}}}],
        [{0: "registers", 1: {14: []}}],
        [{0: "ima-key", 1: {}}],
        [{0: "ima-key", 1: {13: []}}],
        [{0: "ima-key", 1: {13: [PEM.value]}}],
        [{0: "ima-key", 1: {13: [cbor.Tag(corim.TAG_PEM_KEY, "no key")]}}],
        [{0: "ima-key", 1: {13: [PEM, PEM]}}],
        [{0: cbor.Tag(111, b"x"), 1: {}}],
    ],
)
def test_measurements_of_another_form_are_refused(measurements: object) -> None:
    assert refusal(with_measurements(measurements)) == Reason.MALFORMED


def test_the_number_of_keys_is_limited() -> None:
    measurement = {0: "ima-key", 1: {13: [PEM]}}
    assert verify_reference_values(with_measurements([measurement] * 16), KEYS).keys == (file_key(KEY),) * 16
    assert refusal(with_measurements([measurement] * 17)) == Reason.TOO_LARGE


def test_a_register_may_be_named_by_several_measurements() -> None:
    registers = [{0: "registers", 1: {14: {0: [[SHA256.ni_id, bytes([each]) * 32]]}}} for each in (1, 2)]
    verified = verify_reference_values(with_measurements(registers), KEYS)
    assert verified.registers == {SHA256: {0: frozenset({b"\x01" * 32, b"\x02" * 32})}}
