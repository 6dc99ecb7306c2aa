"""The trust store on a real database: what it takes, what it refuses, what it still knows after a restart."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from schemas.codecs import cose
from schemas.codecs.tst_info import TstInfo
from schemas.errors import PeerError
from schemas.identifiers import ueid_text
from schemas.limits import MAX_REFERENCE_VALUES_BYTES
from schemas.messages.endorsement import Endorsement, sign_endorsement
from schemas.messages.handle import EPOCH_BELL_IMPRINT, HandleClaims, attach_stamp, sign_claims
from schemas.messages.reference_values import Outgoing, ReferenceValues, sign_reference_values
from schemas.reasons import Reason
from schemas.topics import TopicKind
from tests.builders.token_forge import tst_info
from tests.worlds.device import (
    T0_US,
    FakeDevice,
    make_handle,
    make_policy,
    make_references,
    make_trust,
)
from verifier_worker.adapters.loaded_files import compile_policy
from verifier_worker.adapters.state_store import SqliteStateStore
from verifier_worker.adapters.trust_store import TrustStore
from verifier_worker.core.policy.in_force import Policies
from verifier_worker.core.state_codec import encode_state
from verifier_worker.core.step import step

ENDORSER, STRANGER = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
DEVICE = FakeDevice()
NAME = ueid_text(DEVICE.ueid)


class NoStamps:
    """Refuses every stamp."""

    def verify_stamp(self, token: bytes, imprint: bytes) -> TstInfo:
        """Never."""
        raise PeerError(Reason.HANDLE_STAMP_INVALID, f"{len(token)} {len(imprint)}")


def make(store: SqliteStateStore) -> TrustStore:
    """A trust store over a database."""
    keys = {cose.key_id(ENDORSER.public_key()): ENDORSER.public_key()}
    return TrustStore(
        store, endorsers=keys, distributors=keys, stamps=NoStamps(), policies=Policies(make_policy(), compile_policy)
    )


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqliteStateStore]:
    """An open database."""
    store = SqliteStateStore(tmp_path / "state.db")
    yield store
    store.close()


def endorsement(version: int = 1, *, key: ec.EllipticCurvePrivateKey = ENDORSER, signer: str = "e") -> bytes:
    """A signed endorsement of the device."""
    vouched = Endorsement(
        ueid=DEVICE.ueid, attesting_key=DEVICE.public, version=version, signer=signer, not_before_s=0, not_after_s=2**40
    )
    return sign_endorsement(vouched, DEVICE.raw_public, key)


def references(version: int = 1, **changes: object) -> bytes:
    """A signed set."""
    values: ReferenceValues = replace(make_references(DEVICE), version=version)
    return sign_reference_values(replace(values, **changes), ENDORSER)  # type: ignore[arg-type]  # fields by name


def test_only_endorsements_that_are_valid_now_are_counted(database: SqliteStateStore) -> None:
    store, now_s = make(database), T0_US // 1_000_000
    for label, begin_s, end_s in (
        ("good", 0, 2**40),
        ("revoked", 0, 1),
        ("expired", 0, now_s - 1),
        ("late", now_s + 1, 2**40),
    ):
        device = FakeDevice(label=label.encode())
        vouched = Endorsement(
            ueid=device.ueid,
            attesting_key=device.public,
            version=1,
            signer="e",
            not_before_s=begin_s,
            not_after_s=end_s,
        )
        raw = sign_endorsement(vouched, device.raw_public, ENDORSER)
        assert store.accept(TopicKind.ENDORSEMENTS, ueid_text(device.ueid), raw, T0_US)
    assert len(store.attesters) == 4
    assert store.count_valid(T0_US) == 1
    assert store.count_valid(T0_US + 1_000_000) == 2


def test_objects_are_taken_once_and_known_after_a_restart(database: SqliteStateStore) -> None:
    store = make(database)
    assert store.accept(TopicKind.ENDORSEMENTS, NAME, endorsement(), T0_US) is True
    taken = references()
    assert store.accept(TopicKind.REFERENCE_VALUES, "good", taken, T0_US) is True
    assert store.accept(TopicKind.REFERENCE_VALUES, "good", taken, T0_US) is False
    database.commit([], [])
    again = make(database)
    assert again.load(T0_US) == []
    trust = again.trust(T0_US)
    assert set(trust.endorsed) == {DEVICE.ueid}
    assert trust.references.missing == ()
    assert len(trust.references.files) == 3


@pytest.mark.parametrize(
    ("kind", "name", "make_raw", "reason"),
    [
        (TopicKind.ENDORSEMENTS, NAME, lambda: endorsement(key=STRANGER), Reason.OBJECT_SIGNATURE_INVALID),
        (TopicKind.ENDORSEMENTS, "other", endorsement, Reason.OBJECT_MISDIRECTED),
        (TopicKind.REFERENCE_VALUES, "other", references, Reason.OBJECT_MISDIRECTED),
        (TopicKind.ENDORSEMENTS, NAME, references, Reason.MALFORMED),
        (TopicKind.REFERENCE_VALUES, "good", endorsement, Reason.MALFORMED),
        (TopicKind.HANDLES, "clock", endorsement, Reason.HANDLE_SIGNATURE_INVALID),
        (TopicKind.ENDORSEMENTS, NAME, lambda: b"\xff" * 100, Reason.MALFORMED),
        ("unknown", NAME, endorsement, Reason.MALFORMED),
    ],
)
def test_objects_that_are_refused(
    database: SqliteStateStore, kind: str, name: str, make_raw: Callable[[], bytes], reason: Reason
) -> None:
    store = make(database)
    with pytest.raises(PeerError) as refused:
        store.accept(kind, name, make_raw(), T0_US)
    assert refused.value.reason is reason
    assert not store.trust(T0_US).endorsed


def test_a_handle_without_a_valid_stamp_is_refused(database: SqliteStateStore) -> None:
    claims = HandleClaims(issuer="clock", not_before_s=1, expires_s=2, nonce=bytes(32), epoch_marker=b"", previous=None)
    with pytest.raises(PeerError) as refused:
        make(database).accept(TopicKind.HANDLES, "clock", attach_stamp(sign_claims(claims, ENDORSER), b"token"), T0_US)
    assert refused.value.reason is Reason.HANDLE_STAMP_INVALID


def test_versions_only_grow(database: SqliteStateStore) -> None:
    store = make(database)
    store.accept(TopicKind.ENDORSEMENTS, NAME, endorsement(2), T0_US)
    store.accept(TopicKind.REFERENCE_VALUES, "good", references(2), T0_US)
    for kind, name, raw in (
        (TopicKind.ENDORSEMENTS, NAME, endorsement(1)),
        (TopicKind.ENDORSEMENTS, NAME, endorsement(2, signer="the same version, another object")),
        (TopicKind.REFERENCE_VALUES, "good", references(1)),
    ):
        with pytest.raises(PeerError) as refused:
            store.accept(kind, name, raw, T0_US)
        assert refused.value.reason is Reason.OBJECT_ROLLED_BACK
    assert store.accept(TopicKind.ENDORSEMENTS, NAME, endorsement(3), T0_US)


def test_reference_values_out_of_their_time_are_missing(database: SqliteStateStore) -> None:
    store = make(database)
    now_s = T0_US // 1_000_000
    store.accept(TopicKind.REFERENCE_VALUES, "good", references(not_before_s=now_s + 10, not_after_s=now_s + 20), T0_US)
    for after_s, missing in ((0, ("good",)), (9, ("good",)), (10, ()), (20, ()), (21, ("good",))):
        assert store.trust(T0_US + after_s * 1_000_000).references.missing == missing


def test_a_clock_set_back_sees_what_is_valid_then(database: SqliteStateStore) -> None:
    """The machine's clock was ahead of the end of a set, and is right again."""
    store = make(database)
    now_s = T0_US // 1_000_000
    store.accept(TopicKind.REFERENCE_VALUES, "good", references(not_before_s=now_s, not_after_s=now_s + 20), T0_US)
    assert store.trust(T0_US + 86_400_000_000).references.missing == ("good",)
    assert store.trust(T0_US).references.missing == ()
    assert store.trust(T0_US - 1).references.missing == ("good",)


def test_spellings_of_one_handle_do_not_push_others_out(database: SqliteStateStore) -> None:
    """A broker without any key can spell a token's certificates in many ways; each has another id."""

    class AllStamps:
        def verify_stamp(self, token: bytes, imprint: bytes) -> TstInfo:
            """Whatever it is."""
            assert token
            return TstInfo(gen_time_us=T0_US, accuracy_us=0, imprint=imprint, serial=1, policy="1.2.3", nonce=None)

    keys = {cose.key_id(ENDORSER.public_key()): ENDORSER.public_key()}
    store = TrustStore(
        database,
        endorsers=keys,
        distributors=keys,
        stamps=AllStamps(),
        policies=Policies(make_policy(), compile_policy),
    )
    marker = tst_info(EPOCH_BELL_IMPRINT, T0_US)
    now_s = T0_US // 1_000_000
    claims = HandleClaims(
        issuer="clock", not_before_s=now_s, expires_s=now_s + 60, nonce=bytes(32), epoch_marker=marker, previous=None
    )
    signed = sign_claims(claims, ENDORSER)
    taken, refused = 0, set()
    for spelling in range(20):
        try:
            taken += store.accept(TopicKind.HANDLES, "clock", attach_stamp(signed, b"token %d" % spelling), T0_US)
        except PeerError as error:
            refused.add(error.reason)
    assert refused == {Reason.HANDLE_NOT_NEWER}
    assert 1 <= taken <= 4
    assert len(store.trust(T0_US).handles) == taken
    store.prune(T0_US + 2 * 86_400_000_000)
    assert not store.trust(T0_US).handles


def test_a_hundred_thousand_digests_are_held_once_and_taken_without_a_restart(database: SqliteStateStore) -> None:
    """All attesters are judged by the same object, and nothing of it goes into their states."""
    many = {hashlib.sha256(b"%d" % number).digest(): f"/usr/lib/{number}" for number in range(100_000)}
    store = make(database)
    store.accept(TopicKind.ENDORSEMENTS, NAME, endorsement(), T0_US)
    store.accept(TopicKind.REFERENCE_VALUES, "good", references(), T0_US)
    before = store.trust(T0_US)
    raw = references(2, files={**make_references(DEVICE).files, **many})
    assert len(raw) < MAX_REFERENCE_VALUES_BYTES
    assert store.accept(TopicKind.REFERENCE_VALUES, "good", raw, T0_US) is True
    after = store.trust(T0_US)
    assert len(after.references.files) == 100_003
    assert before.references.label in after.references.narrower
    assert {id(store.trust(T0_US + number).references.files) for number in range(10_000)} == {
        id(after.references.files)
    }
    device = FakeDevice()
    handle = make_handle()
    device.sync(handle)
    sizes = []
    for trust in (before, after):
        own = replace(make_trust(device, handles=(handle,)), references=trust.references)
        taken = step(None, device.ueid, device.push(full=True, resend={"tcg2": 0, "ima": 0}), T0_US + 9, own)
        assert taken.state is not None
        sizes.append(len(encode_state(taken.state)))
    assert abs(sizes[0] - sizes[1]) < 16


def test_outgoing_values_end_by_themselves(database: SqliteStateStore) -> None:
    store, now_s = make(database), T0_US // 1_000_000
    gone = Outgoing(until_s=now_s + 60, files={b"\x07" * 32: "/usr/bin/old"})
    store.accept(TopicKind.REFERENCE_VALUES, "good", references(outgoing=gone), T0_US)
    during = store.trust(T0_US + 60_000_000).references
    assert b"\x07" * 32 in during.files
    after = store.trust(T0_US + 61_000_000).references
    assert b"\x07" * 32 not in after.files
    assert (during.label, after.label) == ("good/1+", "good/1")
    assert after.ended == {"good/1+": T0_US + 61_000_000}
