"""Signed reference values: acceptable PCRs and files."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key

from schemas.codecs import cbor, cose
from schemas.errors import PeerError
from schemas.hashes import SHA256, SHA384
from schemas.messages import corim, reference_values
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
        [{0: "files", 1: {14: {"x": [DIGEST]}}, 2: "x"}],
        [{0: "ima-key", 1: {13: [PEM], 14: "x"}}],
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


@pytest.mark.parametrize(
    "digests",
    [
        5,
        "xy",
        [5],
        ["xy"],
        [[]],
        [[1]],
        [[1, bytes(32), 0]],
        [{1: bytes(32), 2: 0}],
        [["1", bytes(32)]],
        [[1, "x" * 32]],
        [[1, 32]],
        [[1, bytes(33)]],
        [[None, bytes(32)]],
        {0: [1, bytes(32)]},
    ],
)
def test_a_file_has_a_list_of_algorithms_and_digests(digests: object) -> None:
    for kind, name, field in (("files", "/x", "file"), ("registers", 0, "PCR 0")):
        with pytest.raises(PeerError) as caught:
            verify_reference_values(with_measurements([{0: kind, 1: {14: {name: digests}}}]), KEYS)
        assert caught.value.reason is Reason.MALFORMED
        assert caught.value.detail.startswith(f"{field} digest")


def test_a_file_may_have_a_digest_of_each_algorithm() -> None:
    digests = [[SHA256.ni_id, b"\xaa" * 32], [SHA384.ni_id, b"\xbb" * 48]]
    verified = verify_reference_values(with_measurements([{0: "files", 1: {14: {"/x": digests}}}]), KEYS)
    assert verified.files == {b"\xaa" * 32: "/x", b"\xbb" * 48: "/x"}
    (registers, files) = ({0: "registers", 1: {14: {23: digests}}}, {0: "files", 1: {14: {"x" * 4096: [DIGEST]}}})
    verified = verify_reference_values(with_measurements([registers, files]), KEYS)
    assert verified.registers == {SHA256: {23: frozenset({b"\xaa" * 32})}, SHA384: {23: frozenset({b"\xbb" * 48})}}
    assert verified.files == {bytes(32): "x" * 4096}


def with_triples(
    triples: object, identity: str = "attestream.reference-values.firmware", outgoing: object = None
) -> bytes:
    manifest = corim.verify_manifest(sign_reference_values(VALUES, KEY), KEYS)
    late = None if outgoing is None else corim.OutgoingTriples(until_s=5, triples={0: outgoing})
    return corim.sign_manifest(replace(manifest, triples={0: triples}, identity=identity, outgoing=late), KEY)


FILES = [{0: "files", 1: {14: {"/x": [DIGEST]}}}]
TRIPLE = [{0: {2: "firmware"}}, FILES]


def test_a_set_names_itself_in_its_identity_and_in_every_triple() -> None:
    assert verify_reference_values(with_triples([TRIPLE]), KEYS).name == "firmware"
    other = [{0: {2: "other"}}, FILES]
    for raw in (
        with_triples([other]),
        with_triples([TRIPLE], "attestream.reference-values.firmware2"),
        with_triples([TRIPLE], "firmware"),
    ):
        assert refusal(raw) is Reason.MALFORMED
    with pytest.raises(PeerError, match="2 environments") as caught:
        verify_reference_values(with_triples([TRIPLE, other]), KEYS)
    assert caught.value.reason is Reason.MALFORMED
    for length, reason in ((64, None), (65, Reason.TOO_LARGE)):
        name = "n" * length
        raw = with_triples([[{0: {2: name}}, FILES]], f"attestream.reference-values.{name}")
        if reason is None:
            assert verify_reference_values(raw, KEYS).name == name
        else:
            assert refusal(raw) is reason


@pytest.mark.parametrize(
    "triple",
    [
        [{0: {2: "firmware", 1: "x"}}, FILES],
        [{0: {}}, FILES],
        [{0: {2: "firmware"}, 1: 0}, FILES],
        [{}, FILES],
        [{0: {2: 5}}, FILES],
        [{0: {2: "firmware"}}, FILES, FILES],
        [{0: {2: "firmware"}}, {0: FILES[0]}],
    ],
)
def test_a_triple_of_another_form_is_refused(triple: object) -> None:
    assert refusal(with_triples([triple])) is Reason.MALFORMED


NAMED = ReferenceValues(name="firmware", version=2, signer="tests", not_before_s=1, not_after_s=2_000_000_000)


@pytest.mark.parametrize(
    "values",
    [
        replace(NAMED, files={bytes([number]) * 32: "/x" for number in range(3)}),
        replace(NAMED, files={b"\x01" * 32: "/x", b"\x02" * 32: "/y"}),
        replace(NAMED, registers={SHA256: {7: frozenset(bytes([number]) * 32 for number in range(3))}}),
        replace(NAMED, keys=(file_key(KEY),)),
        replace(NAMED, keys=(file_key(KEY),), outgoing=replace(OUTGOING, registers={})),
        replace(NAMED, keys=(file_key(KEY),), outgoing=replace(OUTGOING, files={})),
    ],
)
def test_a_set_of_one_kind_of_values_comes_back(values: ReferenceValues) -> None:
    assert verify_reference_values(sign_reference_values(values, KEY), KEYS) == values


def test_what_a_set_does_not_name_is_empty() -> None:
    assert (NAMED.registers, NAMED.files, NAMED.keys, NAMED.outgoing) == ({}, {}, (), None)
    assert (Outgoing(until_s=1).registers, Outgoing(until_s=1).files) == ({}, {})


def test_an_unknown_kind_of_measurement_is_named_in_short() -> None:
    raw = with_measurements([{0: "k" * 65, 1: {14: {"x": [DIGEST]}}}])
    with pytest.raises(PeerError) as caught:
        verify_reference_values(raw, KEYS)
    assert caught.value.detail == f"measurement key '{'k' * 64}': expected registers, files or ima-key"


def test_the_usual_form_of_a_file_is_read_without_the_general_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    """A set may have 100,000 files."""
    raw = sign_reference_values(replace(VALUES, registers={}), KEY)
    monkeypatch.delattr(reference_values, "_parse_digests")
    assert verify_reference_values(raw, KEYS).files == VALUES.files


def test_outgoing_values_are_of_the_same_set_and_hold_no_keys() -> None:
    assert verify_reference_values(with_triples([TRIPLE], outgoing=[TRIPLE]), KEYS).outgoing == Outgoing(
        until_s=5, files={bytes(32): "/x"}
    )
    key = [{0: {2: "firmware"}}, [{0: "ima-key", 1: {13: [PEM]}}]]
    for outgoing in ([[{0: {2: "other"}}, FILES]], [key], [TRIPLE, key]):
        assert refusal(with_triples([TRIPLE], outgoing=outgoing)) is Reason.MALFORMED


def test_a_set_without_values_is_one_triple_without_measurements_and_is_refused() -> None:
    """Nothing would be acceptable, which no endorser means."""
    empty = replace(VALUES, registers={}, files={}, keys=())
    assert refusal(sign_reference_values(empty, KEY)) is Reason.MALFORMED


def test_the_number_of_keys_is_limited() -> None:
    measurement = {0: "ima-key", 1: {13: [PEM]}}
    assert verify_reference_values(with_measurements([measurement] * 16), KEYS).keys == (file_key(KEY),) * 16
    assert refusal(with_measurements([measurement] * 17)) == Reason.TOO_LARGE


def test_a_register_may_be_named_by_several_measurements() -> None:
    registers = [{0: "registers", 1: {14: {0: [[SHA256.ni_id, bytes([each]) * 32]]}}} for each in (1, 2)]
    verified = verify_reference_values(with_measurements(registers), KEYS)
    assert verified.registers == {SHA256: {0: frozenset({b"\x01" * 32, b"\x02" * 32})}}
