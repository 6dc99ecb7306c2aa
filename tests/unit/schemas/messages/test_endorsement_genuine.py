"""Optional statements of an endorsement: how the key was proven, and a group."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from schemas.codecs import cbor, cose
from schemas.errors import PeerError
from schemas.messages import corim
from schemas.messages.endorsement import Endorsement, Genuine, identity_of, sign_endorsement, verify_endorsement
from schemas.reasons import Reason
from tests.worlds.device import FakeDevice

KEY = ec.generate_private_key(ec.SECP256R1())
KEYS = {cose.key_id(KEY.public_key()): KEY.public_key()}
DEVICE = FakeDevice()
PLAIN = Endorsement(ueid=DEVICE.ueid, attesting_key=DEVICE.public, version=1, signer="e", not_before_s=0, not_after_s=9)


def signed(endorsement: Endorsement) -> bytes:
    return sign_endorsement(endorsement, DEVICE.raw_public, KEY)


@pytest.mark.parametrize("genuine", [None, *Genuine])
@pytest.mark.parametrize("group", [None, "plant-7", "Werk Süd"])
def test_the_statements_come_back(genuine: Genuine | None, group: str | None) -> None:
    endorsement = replace(PLAIN, genuine=genuine, group=group)
    assert verify_endorsement(signed(endorsement), KEYS) == endorsement


def resigned(triples: dict[object, object]) -> bytes:
    """An endorsement as other software may sign it."""
    manifest = corim.Manifest(
        identity=identity_of(DEVICE.ueid), version=1, signer="e", not_before_s=0, not_after_s=9, triples=triples
    )
    return corim.sign_manifest(manifest, KEY)


def triples_of(endorsement: Endorsement) -> dict[object, object]:
    return dict(corim.verify_manifest(signed(endorsement), KEYS).triples)


def environment(ueid: bytes) -> dict[object, object]:
    return {1: cbor.Tag(corim.TAG_UEID, ueid)}


def test_other_software_may_state_how_the_key_was_proven_and_the_group() -> None:
    keys = triples_of(PLAIN)[3][0][1]  # type: ignore[index]  # a triple: environment and keys
    for text in ("ek-certificate", "iak-certificate"):
        named = {**environment(DEVICE.ueid), 2: cbor.Tag(560, ("ü" * 32).encode())}
        raw = resigned({3: [[named, keys]], 1: [[named, [{0: "genuine", 1: {11: text}}]]]})
        assert verify_endorsement(raw, KEYS) == replace(PLAIN, genuine=Genuine(text), group="ü" * 32)


def test_a_long_statement_is_too_large() -> None:
    for length, reason in ((64, Reason.MALFORMED), (65, Reason.TOO_LARGE)):
        endorsed = [[environment(DEVICE.ueid), [{0: "genuine", 1: {11: "x" * length}}]]]
        with pytest.raises(PeerError) as caught:
            verify_endorsement(resigned({**triples_of(PLAIN), 1: endorsed}), KEYS)
        assert caught.value.reason is reason


@pytest.mark.parametrize(
    "endorsed",
    [
        [[environment(DEVICE.ueid), [{0: "genuine", 1: {11: "ek-certificate"}}] * 2]],
        [[environment(DEVICE.ueid), [{0: "genuine", 1: {11: "ek-certificate"}, 2: 0}]]],
        [[environment(DEVICE.ueid), [{0: "genuine", 1: {11: "ek-certificate", 12: 0}}]]],
        [[environment(DEVICE.ueid), [{0: "genuine", 1: {}}]]],
        [[environment(DEVICE.ueid), [{0: "genuine"}]]],
        [[environment(DEVICE.ueid), [{0: "genuine", 1: {11: "ek-certificate"}}]]] * 2,
        [[environment(bytes([1, *range(32)])), [{0: "genuine", 1: {11: "ek-certificate"}}]]],
        [[environment(DEVICE.ueid), [{0: "genuine", 1: {11: "because I say so"}}]]],
        [[environment(DEVICE.ueid), [{0: "something", 1: {11: "ek-certificate"}}]]],
        [[environment(DEVICE.ueid), [{0: "genuine", 1: {11: 1}}]]],
        [[environment(DEVICE.ueid), []]],
        [[environment(DEVICE.ueid)]],
        [],
        1,
    ],
)
def test_unknown_statements_are_refused(endorsed: object) -> None:
    with pytest.raises(PeerError) as caught:
        verify_endorsement(resigned({**triples_of(PLAIN), 1: endorsed}), KEYS)
    assert caught.value.reason is Reason.MALFORMED
    assert caught.value.detail.startswith("endorsement")


def test_another_kind_of_triple_is_refused() -> None:
    with pytest.raises(PeerError, match="unknown key 2"):
        verify_endorsement(resigned({**triples_of(PLAIN), 2: [[environment(DEVICE.ueid), []]]}), KEYS)


@pytest.mark.parametrize(
    ("group", "reason"),
    [
        (cbor.Tag(560, b"\xff"), Reason.MALFORMED),
        (cbor.Tag(560, b"x" * 65), Reason.TOO_LARGE),
        (cbor.Tag(560, "text"), Reason.MALFORMED),
        (b"bytes", Reason.MALFORMED),
    ],
)
def test_a_group_is_short_text(group: object, reason: Reason) -> None:
    keys = triples_of(PLAIN)[3][0][1]  # type: ignore[index]  # a triple: environment and keys
    named = {**environment(DEVICE.ueid), 2: group}
    with pytest.raises(PeerError, match="endorsement group") as caught:
        verify_endorsement(resigned({3: [[named, keys]]}), KEYS)
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    "named", [{}, {1: DEVICE.ueid}, {1: cbor.Tag(550, "text")}, {**environment(DEVICE.ueid), 3: 0}]
)
def test_an_environment_is_one_ueid_and_perhaps_a_group(named: dict[object, object]) -> None:
    keys = triples_of(PLAIN)[3][0][1]  # type: ignore[index]  # a triple: environment and keys
    with pytest.raises(PeerError) as caught:
        verify_endorsement(resigned({3: [[named, keys]]}), KEYS)
    assert caught.value.reason is Reason.MALFORMED
