"""Enrolment without a TPM: messages, requests that must be refused, the registry, rate limits."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from endorser.adapters.registry import Registry
from endorser.core.certificate_path import Vendors
from endorser.core.enrolment import (
    ApprovalRule,
    Candidate,
    Decision,
    Endorsed,
    OpenChallenge,
    Pending,
    Standing,
    examine,
)
from endorser.core.rate_limit import RateLimit
from schemas.errors import ConfigError, PeerError
from schemas.messages.endorsement import Genuine
from schemas.messages.enrolment import (
    ChallengeDigest,
    EnrolmentRequest,
    RequestDigest,
    encode_request,
    parse_request,
    proof_of,
)
from schemas.reasons import Reason
from tests.builders.ek_authority import NOW_S, Authority, der
from tests.builders.enrolment_request import request_of, ueid_of

ROOT = Authority("root")
VENDORS = Vendors(roots=(("acme", ROOT.certificate),))
EK = ec.generate_private_key(ec.SECP256R1()).public_key()


REQUEST = request_of(ROOT, EK)
EK_PUBLIC, AK_PUBLIC = REQUEST.ek_public, REQUEST.ak_public


def reason_of(request: EnrolmentRequest) -> Reason:
    with pytest.raises(PeerError) as caught:
        examine(encode_request(request), VENDORS, NOW_S)
    return caught.value.reason


def candidate(**changes: object) -> Candidate:
    return examine(encode_request(replace(REQUEST, **changes)), VENDORS, NOW_S)  # type: ignore[arg-type]  # as named


def with_attributes(raw: bytes, cleared: int, added: int = 0) -> bytes:
    attributes = int.from_bytes(raw[4:8], "big") & ~cleared | added
    return raw[:4] + attributes.to_bytes(4, "big") + raw[8:]


def test_the_ueid_is_computed_from_the_endorsement_key() -> None:
    assert candidate().ueid == ueid_of(EK)
    assert candidate().genuine is Genuine.EK_CERTIFICATE


def test_a_request_without_a_certificate_proves_nothing() -> None:
    assert reason_of(replace(REQUEST, certificate=None)) is Reason.EK_CERTIFICATE_MISSING


def test_a_certificate_of_another_key() -> None:
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    assert reason_of(replace(REQUEST, certificate=der(ROOT.certify(other)))) is Reason.EK_CERTIFICATE_MISMATCH


@pytest.mark.parametrize("bit", [1, 4, 5, 16, 18])  # fixedTPM, fixedParent, sensitiveDataOrigin, restricted, sign
def test_an_attesting_key_that_lacks_one_attribute(bit: int) -> None:
    assert reason_of(replace(REQUEST, ak_public=with_attributes(AK_PUBLIC, 1 << bit))) is Reason.ATTESTING_KEY_UNFIT


@pytest.mark.parametrize("bit", [1, 4, 5, 7, 16, 17])
def test_an_endorsement_key_that_lacks_one_attribute(bit: int) -> None:
    assert reason_of(replace(REQUEST, ek_public=with_attributes(EK_PUBLIC, 1 << bit))) is Reason.EK_TEMPLATE_MISMATCH


def test_an_endorsement_key_that_signs() -> None:
    signing = with_attributes(EK_PUBLIC, 0, 1 << 18)
    assert reason_of(replace(REQUEST, ek_public=signing)) is Reason.EK_TEMPLATE_MISMATCH


def test_an_endorsement_key_of_another_policy() -> None:
    position = EK_PUBLIC.index(bytes.fromhex("83719767"))
    changed = EK_PUBLIC[:position] + bytes(32) + EK_PUBLIC[position + 32 :]
    assert reason_of(replace(REQUEST, ek_public=changed)) is Reason.EK_TEMPLATE_MISMATCH


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"certificate": bytes(5000)}, Reason.TOO_LARGE),
        ({"chain": (b"x",) * 6}, Reason.TOO_LARGE),
        ({"ek_public": bytes(2000)}, Reason.TOO_LARGE),
        ({"name": "no/level"}, Reason.MALFORMED),
        ({"nonce": b"short"}, Reason.MALFORMED),
        ({"certificate": b"x"}, Reason.MALFORMED),
        ({"ak_public": b"x"}, Reason.MALFORMED),
    ],
)
def test_requests_have_limits(changes: dict[str, object], reason: Reason) -> None:
    assert reason_of(replace(REQUEST, **changes)) is reason  # type: ignore[arg-type]  # as named


def test_what_is_longer_than_a_request_may_be_is_not_parsed() -> None:
    with pytest.raises(PeerError) as caught:
        parse_request(bytes(40_000))
    assert caught.value.reason is Reason.TOO_LARGE


def test_a_proof_serves_one_request_and_one_challenge() -> None:
    one, other = bytes(32), b"\1" * 32
    proofs = {
        proof_of(b"secret", RequestDigest(request), ChallengeDigest(challenge))
        for request in (one, other)
        for challenge in (one, other)
    }
    assert len(proofs) == 4


def test_rules_name_roots_certificates_or_keys() -> None:
    asking = candidate()
    assert ApprovalRule().reason_for(asking) is None
    assert ApprovalRule(roots={"acme"}).reason_for(asking)
    assert ApprovalRule(certificates={asking.certificate.serial}).reason_for(asking)
    assert ApprovalRule(keys={asking.ueid[1:].hex()}).reason_for(asking)
    assert ApprovalRule(roots={"other"}, certificates={"1"}, keys={"2"}).reason_for(asking) is None


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    opened = Registry(tmp_path / "registry.db")
    yield opened
    opened.close()


def admit(registry: Registry, asking: Candidate, version: int = 1) -> None:
    endorsed = Endorsed(
        ueid=asking.ueid,
        version=version,
        ak_name=asking.ak.name,
        ak_public=asking.ak.raw,
        genuine=asking.genuine,
        not_after_s=NOW_S,
        signed=b"signed",
    )
    registry.admit(asking, endorsed, None, Decision(at_s=NOW_S, ueid=asking.ueid, action="enrolled", who="test"))


def test_what_another_process_decided_meanwhile_holds(registry: Registry, tmp_path: Path) -> None:
    asking = candidate()
    admit(registry, asking)
    other = Registry(tmp_path / "registry.db")
    revoked = Decision(at_s=NOW_S, ueid=asking.ueid, action="revoked", who="alice")
    other.change_standing(Standing.REVOKED, revoked, lambda _device, _last: None)
    other.close()
    with pytest.raises(PeerError, match="attesting-key-revoked"):
        admit(registry, asking, version=2)
    assert [each.action for each in registry.records()] == ["enrolled", "revoked"]


def test_a_name_stays_with_its_device_when_it_enrols_without(registry: Registry) -> None:
    admit(registry, candidate())
    admit(registry, candidate(name=None), version=2)
    (device,) = registry.devices()
    assert (device.name, device.version) == ("device-1", 2)


def test_the_record_cannot_be_changed(registry: Registry, tmp_path: Path) -> None:
    admit(registry, candidate())
    for statement in ("DELETE FROM record", "UPDATE record SET who = 'nobody'"):
        database = sqlite3.connect(tmp_path / "registry.db")
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            database.execute(statement)
        database.close()


def test_only_its_owner_reads_the_registry(registry: Registry, tmp_path: Path) -> None:
    assert (tmp_path / "registry.db").stat().st_mode & 0o077 == 0


def challenge(number: int, expires_s: int = NOW_S + 10) -> OpenChallenge:
    return OpenChallenge(
        digest=ChallengeDigest(bytes([number]) * 32),
        request=RequestDigest(bytes(32)),
        ueid=candidate().ueid,
        secret=b"s",
        expires_s=expires_s,
        raw_request=b"r",
    )


def test_open_challenges_are_counted_and_forgotten(registry: Registry) -> None:
    for number in range(2):
        registry.open_challenge(challenge(number), NOW_S, limit=2)
    with pytest.raises(PeerError, match="enrolment-rate-limited"):
        registry.open_challenge(challenge(2), NOW_S, limit=2)
    registry.open_challenge(challenge(2, NOW_S + 99), NOW_S + 11, limit=2)
    assert registry.challenge(challenge(0).digest)[0] is not None, "ended, but late is told from unsolicited"
    registry.open_challenge(challenge(3, NOW_S + 99), NOW_S + 71, limit=2)
    assert registry.challenge(challenge(0).digest) == (None, False)


def test_one_device_cannot_use_up_the_challenges_of_all(registry: Registry) -> None:
    for number in range(50):
        registry.open_challenge(challenge(number), NOW_S, limit=5)
    kept = [number for number in range(50) if registry.challenge(challenge(number).digest)[0] is not None]
    assert kept == [46, 47, 48, 49]


def test_an_unpublished_endorsement_is_the_newest(registry: Registry) -> None:
    asking = candidate()
    admit(registry, asking)
    admit(registry, asking, version=2)
    assert registry.unpublished() == [(asking.ueid, 2, b"signed")]
    registry.published(asking.ueid, 2)
    assert registry.unpublished() == []


def test_a_file_that_is_no_registry_is_named(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    path.write_bytes(b"something else" * 100)
    with pytest.raises(ConfigError, match=r"registry: .*registry\.db"):
        Registry(path)


def test_one_topic_does_not_use_up_everybodys_turn() -> None:
    limit = RateLimit(burst=100, per_minute=60, key_burst=2, key_per_minute=60)
    assert [limit.allows("a", 0.0) for _ in range(3)] == [True, True, False]
    assert limit.allows("b", 0.0)
    assert limit.allows("a", 1.0)


def test_many_topics_together_are_limited() -> None:
    limit = RateLimit(burst=3, per_minute=60, key_burst=2, key_per_minute=60)
    assert sum(limit.allows(str(number), 0.0) for number in range(20_000)) == 3


def test_an_iak_stays_with_its_device_whatever_certificate_comes_later(registry: Registry) -> None:
    """Another certificate of the same device, or of the same key, must not free it to prove a second device genuine."""
    first = candidate(name=None)
    by_iak = replace(first, genuine=Genuine.IAK_CERTIFICATE)
    admit(registry, by_iak)
    other_key = replace(first.certificate, key=b"other", serial="2")
    admit(registry, replace(first, genuine=Genuine.EK_CERTIFICATE, certificate=other_key), version=2)
    second = replace(by_iak, ueid=ueid_of(ec.generate_private_key(ec.SECP256R1()).public_key()))
    renewed = replace(second, certificate=replace(second.certificate, serial="3"))
    for asking in (second, renewed):
        with pytest.raises(PeerError, match="iak-certificate-taken"):
            admit(registry, asking)
    admit(registry, replace(second, certificate=other_key))  # a key of its own
    admit(registry, by_iak, version=3)


def test_an_iak_lets_one_device_wait(registry: Registry) -> None:
    """Endorsement keys made in software cost nothing, and each that waits costs the registry its request."""
    first = replace(candidate(name=None), genuine=Genuine.IAK_CERTIFICATE)
    second = replace(first, ueid=ueid_of(ec.generate_private_key(ec.SECP256R1()).public_key()))

    def wait(asking: Candidate, number: int) -> None:
        opened = challenge(number)
        registry.open_challenge(opened, NOW_S, limit=9)
        waiting = Pending(
            ueid=asking.ueid, request=opened.request, raw_request=b"raw", since_s=NOW_S, name=None, summary=""
        )
        registry.postpone(waiting, asking, opened.digest)

    wait(first, 1)
    wait(first, 2)
    with pytest.raises(PeerError, match="iak-certificate-taken"):
        wait(second, 3)
    assert [each.ueid for each in registry.pending()] == [first.ueid]
