"""The table of the kinds of trust objects: complete, with the names in topics and in the audit log."""

from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from runtime.audit_log.recorded_messages import read_captured
from runtime.time_stamps.verifier import TimeStampVerifier
from schemas.audit.entry import UNSIGNED_KINDS, ObjectEntry, encode_entry, parse_entry
from schemas.codecs import cose
from schemas.errors import PeerError
from schemas.limits import MAX_REFERENCE_VALUES_BYTES
from schemas.media_types import Indicator
from schemas.messages.endorsement import Endorsement, sign_endorsement
from schemas.messages.handle import Handle
from schemas.messages.policy import SignedPolicy, sign_policy
from schemas.messages.reference_values import ReferenceValues, sign_reference_values
from schemas.messages.trust_objects import (
    TRUST_OBJECTS,
    TrustedSigners,
    TrustObjectKind,
    kind_of,
    name_of,
    topic_of,
)
from schemas.messages.trust_statement import TrustStatement, sign_statement
from schemas.reasons import Reason
from schemas.topics import TopicKind, Topics
from tests.fakes.attester import HandleMint
from tests.worlds.device import T0_US, FakeDevice, make_endorsement, make_references

MINT = HandleMint()
ENDORSER = generate_private_key(SECP256R1())
DEVICE = FakeDevice()
POLICY = SignedPolicy(id="fleet", version=1, signer="endorser", not_before_s=0, not_after_s=2**40, text="")
STATEMENT = TrustStatement(issuer="endorser", number=1, issued_s=0, not_after_s=2**35)
SIGNERS = TrustedSigners(
    endorsers={cose.key_id(ENDORSER.public_key()): ENDORSER.public_key()},
    distributors=MINT.keys,
    stamps=TimeStampVerifier(MINT.authority.root.pem),
)
NOBODY = TrustedSigners(endorsers={}, distributors={}, stamps=SIGNERS.stamps)
OBJECTS = {
    TopicKind.HANDLES: MINT.raw(T0_US),
    TopicKind.ENDORSEMENTS: sign_endorsement(make_endorsement(DEVICE.ueid, DEVICE.public), DEVICE.raw_public, ENDORSER),
    TopicKind.REFERENCE_VALUES: sign_reference_values(make_references(DEVICE), ENDORSER),
    TopicKind.POLICIES: sign_policy(POLICY, ENDORSER),
    TopicKind.STATEMENTS: sign_statement(STATEMENT, ENDORSER),
}
TYPES = {
    TopicKind.HANDLES: Handle,
    TopicKind.ENDORSEMENTS: Endorsement,
    TopicKind.REFERENCE_VALUES: ReferenceValues,
    TopicKind.POLICIES: SignedPolicy,
    TopicKind.STATEMENTS: TrustStatement,
}
every_kind = pytest.mark.parametrize("kind", TRUST_OBJECTS.values(), ids=TRUST_OBJECTS)


def test_the_table_has_each_kind_once() -> None:
    assert set(TRUST_OBJECTS) == set(OBJECTS)
    assert all(name == row.name for name, row in TRUST_OBJECTS.items())
    assert len({row.indicator for row in TRUST_OBJECTS.values()}) == len(TRUST_OBJECTS)
    assert [row.name for row in TRUST_OBJECTS.values() if row.expires] == [TopicKind.HANDLES]


def test_each_kind_has_its_media_type_and_limit() -> None:
    assert {row.name.value: (row.media_type, int(row.indicator), row.max_bytes) for row in TRUST_OBJECTS.values()} == {
        "handles": ("application/vnd.attestream.handle+cose", int(Indicator.HANDLE), 256 * 1024),
        "endorsements": ("application/rim+cose", 2, MAX_REFERENCE_VALUES_BYTES),
        "reference-values": ("application/rim+cose", 1, MAX_REFERENCE_VALUES_BYTES),
        "policies": ("application/vnd.attestream.policy+cose", 16, MAX_REFERENCE_VALUES_BYTES),
        "statements": ("application/vnd.attestream.statement+cose", 19, MAX_REFERENCE_VALUES_BYTES),
    }


def test_an_object_whose_name_is_no_topic_level_has_no_topic() -> None:
    verified = TRUST_OBJECTS["policies"].verify(OBJECTS[TopicKind.POLICIES], SIGNERS)
    assert isinstance(verified, SignedPolicy)
    with pytest.raises(PeerError) as caught:
        topic_of(replace(verified, id="a/b"), Topics())
    assert caught.value.reason is Reason.MALFORMED


@every_kind
def test_a_kind_verifies_its_objects_and_names_them(kind: TrustObjectKind) -> None:
    verified = kind.verify(OBJECTS[kind.name], SIGNERS)
    assert isinstance(verified, TYPES[kind.name])
    assert kind_of(verified) is kind
    topic = topic_of(verified, Topics())
    assert Topics().kind_of(topic) is kind.name
    assert Topics().last_level(topic) == name_of(verified)
    assert topic.startswith(Topics().all_of(kind.name).removesuffix("+"))


@every_kind
def test_an_object_of_a_stranger_is_refused(kind: TrustObjectKind) -> None:
    with pytest.raises(PeerError, match="signature-invalid"):
        kind.verify(OBJECTS[kind.name], NOBODY)


@every_kind
def test_a_message_is_unwrapped_by_its_own_kind_only(kind: TrustObjectKind) -> None:
    payload = kind.wrap(OBJECTS[kind.name])
    assert kind.unwrap(payload) == OBJECTS[kind.name]
    for other in TRUST_OBJECTS.values():
        if other is not kind:
            with pytest.raises(PeerError) as refused:
                other.unwrap(payload)
            assert refused.value.reason is Reason.UNKNOWN_MEDIA_TYPE
    with pytest.raises(PeerError) as too_large:
        kind.unwrap(kind.wrap(bytes(kind.max_bytes)))
    assert too_large.value.reason is Reason.TOO_LARGE


@every_kind
def test_the_audit_log_has_every_kind(kind: TrustObjectKind) -> None:
    entry = ObjectEntry(received_us=1, kind=kind.name, raw=OBJECTS[kind.name])
    assert parse_entry(encode_entry(entry)) == entry
    assert kind.name not in UNSIGNED_KINDS


@every_kind
def test_a_saved_message_of_every_kind_is_read(kind: TrustObjectKind, tmp_path: Path) -> None:
    (tmp_path / "message").write_bytes(kind.wrap(OBJECTS[kind.name]))
    ((_, entry),) = read_captured(tmp_path / "message")
    assert isinstance(entry, ObjectEntry)
    assert (entry.kind, entry.raw) == (kind.name, OBJECTS[kind.name])
