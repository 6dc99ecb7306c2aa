"""The frame of signed CoRIMs: content comes back, and other forms are refused."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key

from schemas import media_types
from schemas.codecs import cbor, cose
from schemas.errors import PeerError
from schemas.messages import corim
from schemas.reasons import Reason

KEY = derive_private_key(21, SECP256R1())
KEYS = {cose.key_id(KEY.public_key()): KEY.public_key()}
MANIFEST = corim.Manifest(
    identity="attestream.test",
    version=3,
    signer="tests",
    not_before_s=1_800_000_000,
    not_after_s=1_900_000_000,
    triples={corim.TRIPLES_REFERENCE: [[{0: {2: "model"}}, [{0: "file", 1: {11: "x"}}]]]},
)


def signed(manifest: corim.Manifest = MANIFEST) -> bytes:
    return corim.sign_manifest(manifest, KEY)


def payload_of(raw: bytes) -> dict[object, object]:
    decoded = cbor.decode(cose.parse(raw, "test").unverified_payload, "test")
    assert isinstance(decoded, cbor.Tag)
    return dict(decoded.value)


def signed_payload(content: object, headers: dict[int, object] | None = None) -> bytes:
    meta = cbor.encode({0: {0: "tests"}})
    headers = headers or {cose.HEADER_CONTENT_TYPE: media_types.CORIM, corim.HEADER_CORIM_META: meta}
    return cose.encode(cose.sign(cbor.encode(content), KEY, headers))


def refusal(raw: bytes) -> Reason:
    with pytest.raises(PeerError) as refused:
        corim.verify_manifest(raw, KEYS)
    return refused.value.reason


def test_the_signed_content_comes_back() -> None:
    verified = corim.verify_manifest(signed(), KEYS)
    assert replace(verified, triples={}) == replace(MANIFEST, triples={})
    environment, rest = corim.single_triple(verified, corim.TRIPLES_REFERENCE, "test")
    assert environment == {0: {2: "model"}}
    assert len(rest) == 1


def test_the_frame_has_the_form_of_the_draft() -> None:
    sign1 = cose.parse(signed(), "test")
    assert sign1.headers[cose.HEADER_CONTENT_TYPE] == "application/rim+cbor"
    content = payload_of(signed())
    assert set(content) == {0, 1, 4}
    validity = content[4]
    assert {key: (value.tag, value.value) for key, value in dict(validity).items()} == {  # type: ignore[call-overload]
        0: (1, MANIFEST.not_before_s),
        1: (1, MANIFEST.not_after_s),
    }


def test_a_strangers_signature_is_refused() -> None:
    stranger = corim.sign_manifest(MANIFEST, derive_private_key(22, SECP256R1()))
    assert refusal(stranger) == Reason.OBJECT_SIGNATURE_INVALID


@pytest.mark.parametrize("position", [10, 100, -70, -1])
def test_a_flipped_bit_is_refused(position: int) -> None:
    raw = bytearray(signed())
    raw[position] ^= 1
    assert refusal(bytes(raw)) in {Reason.OBJECT_SIGNATURE_INVALID, Reason.MALFORMED}


def test_a_signature_over_another_type_is_refused() -> None:
    content = cbor.Tag(corim.TAG_CORIM, payload_of(signed()))
    headers: dict[int, object] = {cose.HEADER_TYPE: media_types.HANDLE}
    assert refusal(signed_payload(content, headers)) == Reason.OBJECT_SIGNATURE_INVALID


@pytest.mark.parametrize(
    "change",
    [
        {0: 7},
        {1: []},
        {1: [cbor.Tag(corim.TAG_COMID, b"")] * 2},
        {1: [cbor.Tag(505, b"")]},
        {4: {0: 1, 1: 2}},
        {4: {1: cbor.Tag(1, 5)}},
        {5: "entities are not ours"},
    ],
)
def test_content_of_another_type_is_refused(change: dict[object, object]) -> None:
    content = payload_of(signed()) | change
    assert refusal(signed_payload(cbor.Tag(corim.TAG_CORIM, content))) == Reason.MALFORMED


def test_a_content_without_its_tag_is_refused() -> None:
    assert refusal(signed_payload(payload_of(signed()))) == Reason.MALFORMED


def test_a_missing_signer_is_refused() -> None:
    content = cbor.Tag(corim.TAG_CORIM, payload_of(signed()))
    assert refusal(signed_payload(content, {cose.HEADER_CONTENT_TYPE: media_types.CORIM})) == Reason.MALFORMED


@pytest.mark.parametrize(
    "triples",
    [
        {},
        {corim.TRIPLES_ATTEST_KEY: [[{}, []]]},
        {corim.TRIPLES_REFERENCE: []},
        {corim.TRIPLES_REFERENCE: [[{}, []], [{}, []]]},
        {corim.TRIPLES_REFERENCE: [[{}]]},
        {corim.TRIPLES_REFERENCE: [[7, []]]},
        {corim.TRIPLES_REFERENCE: [[{}, []]], 1: []},
    ],
)
def test_there_is_exactly_one_triple_of_the_kind(triples: dict[object, object]) -> None:
    verified = corim.verify_manifest(signed(replace(MANIFEST, triples=triples)), KEYS)
    with pytest.raises(PeerError) as refused:
        corim.single_triple(verified, corim.TRIPLES_REFERENCE, "test")
    assert refused.value.reason == Reason.MALFORMED


# ── the bytes, and each limit ────────────────────────────────────────────────────────────────────────────────────────

TRIPLES: dict[object, object] = {0: [[{0: {2: "model"}}, [{0: "file", 1: {11: "x"}}]]]}


def comid(identity: object = None, triples: object = TRIPLES, **more: object) -> cbor.Tag:
    """A CoMID with the numbers of the draft; ``until`` is our extension."""
    content: dict[object, object] = {1: {0: "attestream.test", 1: 3} if identity is None else identity, 4: triples}
    return cbor.Tag(506, cbor.encode(content | ({-70110: more["until"]} if "until" in more else {})))


CONTENT: dict[object, object] = {
    0: "attestream.test/3",
    1: [comid()],
    4: {0: cbor.Tag(1, 1_800_000_000), 1: cbor.Tag(1, 1_900_000_000)},
}
LATE = comid({0: "attestream.test.outgoing", 1: 3}, until=cbor.Tag(1, 5))
PROFILE = cbor.Tag(32, "tag:attestream,2026:corim/outgoing")
BOTH: dict[object, object] = {**CONTENT, 1: [comid(), LATE], 3: PROFILE}
OUTGOING = replace(MANIFEST, outgoing=corim.OutgoingTriples(until_s=5, triples=TRIPLES))


def in_frame(content: object, meta: object = None) -> bytes:
    headers: dict[int, object] = {
        3: "application/rim+cbor",
        8: cbor.encode({0: {0: "tests"}} if meta is None else meta),
    }
    return signed_payload(cbor.Tag(501, content), headers)


def test_the_bytes_are_those_of_the_draft() -> None:
    """All but the signature, which is another one each time."""
    assert signed()[:-64] == in_frame(CONTENT)[:-64]
    assert signed(OUTGOING)[:-64] == in_frame(BOTH)[:-64]
    assert corim.verify_manifest(in_frame(CONTENT), KEYS) == corim.verify_manifest(signed(), KEYS)
    verified = corim.verify_manifest(in_frame(BOTH), KEYS)
    assert verified.outgoing is not None
    assert (verified.outgoing.until_s, verified.version, verified.signer) == (5, 3, "tests")
    assert corim.verify_manifest(in_frame(CONTENT), KEYS).outgoing is None


@pytest.mark.parametrize("key", [0, 1, 4])
def test_the_frame_has_all_required_items(key: int) -> None:
    assert refusal(in_frame({each: value for each, value in CONTENT.items() if each != key})) is Reason.MALFORMED


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({**CONTENT, 0: "i" * 161}, Reason.TOO_LARGE),
        ({**CONTENT, 0: b"id"}, Reason.MALFORMED),
        ({**CONTENT, 2: 0}, Reason.MALFORMED),
        ({**CONTENT, 1: []}, Reason.MALFORMED),
        ({**CONTENT, 1: [comid(), LATE]}, Reason.MALFORMED),  # without the profile
        ({**CONTENT, 3: PROFILE}, Reason.MALFORMED),  # without outgoing values
        ({**BOTH, 1: [comid(), LATE, LATE]}, Reason.MALFORMED),
        ({**BOTH, 1: [LATE, comid()]}, Reason.MALFORMED),
        ({**BOTH, 1: [comid(), comid()]}, Reason.MALFORMED),
        ({**BOTH, 3: "tag:attestream,2026:corim/outgoing"}, Reason.MALFORMED),
        ({**BOTH, 3: cbor.Tag(32, "tag:attestream,2026:corim/other")}, Reason.MALFORMED),
        ({**BOTH, 3: cbor.Tag(33, "tag:attestream,2026:corim/outgoing")}, Reason.MALFORMED),
        ({**BOTH, 1: [comid(), comid({0: "attestream.test", 1: 3}, until=cbor.Tag(1, 5))]}, Reason.MALFORMED),
        ({**BOTH, 1: [comid(), comid({0: "attestream.test.outgoing", 1: 4}, until=cbor.Tag(1, 5))]}, Reason.MALFORMED),
        ({**BOTH, 1: [comid(), comid({0: "attestream.test.outgoing", 1: 3})]}, Reason.MALFORMED),
        ({**BOTH, 1: [comid(), comid({0: "attestream.test.outgoing", 1: 3}, until=5)]}, Reason.MALFORMED),
        (
            {**BOTH, 1: [comid(), comid({0: "attestream.test.outgoing", 1: 3}, 0, until=cbor.Tag(1, 5))]},
            Reason.MALFORMED,
        ),
        ({**BOTH, 1: [comid(until=cbor.Tag(1, 5)), LATE]}, Reason.MALFORMED),
        ({**CONTENT, 1: [comid(until=cbor.Tag(1, 5))]}, Reason.MALFORMED),
        ({**CONTENT, 1: [comid({0: "i" * 129, 1: 3})]}, Reason.TOO_LARGE),
        ({**CONTENT, 1: [comid({0: b"i", 1: 3})]}, Reason.MALFORMED),
        ({**CONTENT, 1: [comid({0: "i", 1: -1})]}, Reason.MALFORMED),
        ({**CONTENT, 1: [comid({0: "i"})]}, Reason.MALFORMED),
        ({**CONTENT, 1: [comid({1: 3})]}, Reason.MALFORMED),
        ({**CONTENT, 1: [comid({0: "i", 1: 3, 2: 0})]}, Reason.MALFORMED),
        ({**CONTENT, 1: [comid(triples=[])]}, Reason.MALFORMED),
        ({**CONTENT, 1: [cbor.Tag(506, cbor.encode({1: {0: "i", 1: 3}}))]}, Reason.MALFORMED),
        ({**CONTENT, 1: [cbor.Tag(506, cbor.encode({4: TRIPLES}))]}, Reason.MALFORMED),
        ({**CONTENT, 1: [cbor.Tag(506, cbor.encode({1: {0: "i", 1: 3}, 4: TRIPLES, 0: 0}))]}, Reason.MALFORMED),
        ({**CONTENT, 1: [cbor.Tag(506, "text")]}, Reason.MALFORMED),
        ({**CONTENT, 1: [cbor.encode({1: {0: "i", 1: 3}, 4: TRIPLES})]}, Reason.MALFORMED),
        ({**CONTENT, 4: {0: cbor.Tag(1, 5)}}, Reason.MALFORMED),
        ({**CONTENT, 4: {1: cbor.Tag(1, 5)}}, Reason.MALFORMED),
        ({**CONTENT, 4: {0: cbor.Tag(1, 5), 1: cbor.Tag(1, 6), 2: 0}}, Reason.MALFORMED),
        ({**CONTENT, 4: {0: 5, 1: cbor.Tag(1, 6)}}, Reason.MALFORMED),
        ({**CONTENT, 4: {0: cbor.Tag(1, 5), 1: 6}}, Reason.MALFORMED),
        ({**CONTENT, 4: {0: cbor.Tag(1, -1), 1: cbor.Tag(1, 6)}}, Reason.MALFORMED),
    ],
)
def test_items_of_another_form_are_refused(content: dict[object, object], reason: Reason) -> None:
    assert refusal(in_frame(content)) is reason


def test_names_at_their_limits_are_accepted() -> None:
    content = {**CONTENT, 0: "i" * 160, 1: [comid({0: "n" * 128, 1: 2**64 - 1})]}
    verified = corim.verify_manifest(in_frame(content, {0: {0: "s" * 128}}), KEYS)
    assert (verified.identity, verified.version, verified.signer) == ("n" * 128, 2**64 - 1, "s" * 128)


@pytest.mark.parametrize(
    ("meta", "reason"),
    [
        ({0: {0: "s" * 129}}, Reason.TOO_LARGE),
        ({0: {0: b"s"}}, Reason.MALFORMED),
        ({0: {1: cbor.Tag(32, "a:b")}}, Reason.MALFORMED),
        ({0: {0: "s", 2: 0}}, Reason.MALFORMED),
        ({0: "s"}, Reason.MALFORMED),
        ({1: 0}, Reason.MALFORMED),
        ({0: {0: "s"}, 2: 0}, Reason.MALFORMED),
        ([], Reason.MALFORMED),
    ],
)
def test_a_signer_has_a_name(meta: object, reason: Reason) -> None:
    assert refusal(in_frame(CONTENT, meta)) is reason


def test_a_signer_may_have_a_uri_and_a_validity() -> None:
    """Draft, corim-meta-map: we read the name alone."""
    meta = {0: {0: "s", 1: cbor.Tag(32, "a:b")}, 1: {1: cbor.Tag(1, 5)}}
    assert corim.verify_manifest(in_frame(CONTENT, meta), KEYS).signer == "s"


@pytest.mark.parametrize(
    ("triples", "complaint"),
    [
        ({0: [[{}, []], [{}, []]], 3: []}, "unknown key 3"),
        ({3: [[{}, []]]}, "key 0 is missing"),
        ({0: []}, "test: no triple"),
        ({0: [[{}]]}, "the triple has 1 item"),
        ({0: [[]]}, "the triple has 0 item"),
        ({0: [[{}, [], [], []]]}, "4 items, the limit is 3"),
        ({0: [{}]}, "expected an array"),
        ({0: [[[], []]]}, "expected a map"),
        ({0: {}}, "expected an array"),
    ],
)
def test_every_triple_has_an_environment_and_one_or_two_items(triples: dict[object, object], complaint: str) -> None:
    with pytest.raises(PeerError, match=complaint):
        corim.all_triples(triples, 0, "test")


def test_all_triples_come_in_order() -> None:
    assert corim.all_triples({0: [[{1: 0}, [1]], [{2: 0}, [2], [3]]]}, 0, "test") == [
        ({1: 0}, ([1],)),
        ({2: 0}, ([2], [3])),
    ]
    with pytest.raises(PeerError, match="with outgoing values"):
        corim.single_triple(OUTGOING, 0, "test")
    with pytest.raises(PeerError, match="2 items, expected 1"):
        corim.single_triple(replace(MANIFEST, triples={0: [[{}, []], [{}, []]]}), 0, "test")
