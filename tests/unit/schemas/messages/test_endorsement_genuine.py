"""Optional statements of an endorsement: how the key was proven, and a group."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from schemas.codecs import cbor, cose
from schemas.errors import PeerError
from schemas.messages import corim
from schemas.messages.endorsement import Endorsement, Genuine, identity_of, sign_endorsement, verify_endorsement
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


@pytest.mark.parametrize(
    "endorsed",
    [
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
    with pytest.raises(PeerError, match=r"malformed|too-large"):
        verify_endorsement(resigned({**triples_of(PLAIN), 1: endorsed}), KEYS)


def test_another_kind_of_triple_is_refused() -> None:
    with pytest.raises(PeerError, match="unknown key 2"):
        verify_endorsement(resigned({**triples_of(PLAIN), 2: [[environment(DEVICE.ueid), []]]}), KEYS)


@pytest.mark.parametrize("group", [b"\xff", b"x" * 65])
def test_a_group_is_short_text(group: bytes) -> None:
    keys = triples_of(PLAIN)[3][0][1]  # type: ignore[index]  # a triple: environment and keys
    named = {**environment(DEVICE.ueid), 2: cbor.Tag(corim.TAG_BYTES, group)}
    with pytest.raises(PeerError, match="endorsement group"):
        verify_endorsement(resigned({3: [[named, keys]]}), KEYS)
