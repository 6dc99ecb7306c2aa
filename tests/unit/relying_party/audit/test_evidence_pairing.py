"""Evidence and the result about it are paired and written once; strangers cannot push anything out."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from relying_party.audit.evidence_pairing import MAX_CANDIDATES, EvidencePairing, Settled
from relying_party.result_board import VerifiedResult
from schemas import media_types
from schemas.audit.entry import AuditEntry, EvidenceEntry, ObjectEntry, encode_entry, parse_entry
from schemas.codecs import cmw
from schemas.errors import PeerError
from schemas.media_types import Indicator
from schemas.messages.evidence import Evidence, encode_evidence
from schemas.messages.result import AttestationResult
from schemas.topics import TopicKind
from schemas.verdicts import Freshness, Tier
from tests.worlds.device import FakeDevice, make_endorsement, make_handle

DEVICE = FakeDevice()
DEVICE.sync(make_handle())
KEY = generate_private_key(SECP256R1())


def payload(evidence: Evidence) -> bytes:
    return cmw.wrap(media_types.EVIDENCE, encode_evidence(evidence), Indicator.EVIDENCE)


EVIDENCE = DEVICE.push(elapsed_ms=1)
PUSH = payload(EVIDENCE)


def result_of(evidence: Evidence | None, *, received_us: int | None = 5_000_000) -> AttestationResult:
    return AttestationResult(
        ueid=make_endorsement(DEVICE.ueid, DEVICE.public).ueid,
        environment=b"",
        status=Tier.AFFIRMING,
        freshness=Freshness.FRESH,
        reasons=(),
        vector={},
        issued_s=7,
        expires_s=99,
        verifier="v",
        evidence=evidence.body_digest if evidence is not None else None,
        received_us=received_us,
    )


def signed(token: bytes, evidence: Evidence | None, *, received_us: int | None = 5_000_000) -> VerifiedResult:
    return VerifiedResult(token=token, result=result_of(evidence, received_us=received_us))


def new_pairing(waiting_max: int = 10) -> EvidencePairing[str]:
    return EvidencePairing(evidence_wait_s=60, result_wait_s=2, waiting_max=waiting_max)


def parsed(settled: list[Settled[str]]) -> list[AuditEntry]:
    return [parse_entry(each.entry) for each in settled if each.entry is not None]


@pytest.mark.parametrize("evidence_first", [True, False])
def test_evidence_and_its_result_meet_in_either_order(*, evidence_first: bool) -> None:
    pairing = new_pairing()
    if evidence_first:
        assert pairing.take_evidence(PUSH, "e", 0) == []
        assert pairing.due(0) == []
    assert pairing.take_result(signed(b"token", EVIDENCE), "r", 1) == []
    if not evidence_first:
        assert pairing.due(1) == []
        assert pairing.take_evidence(PUSH, "e", 2) == []
    (settled,) = pairing.due(2)
    assert settled.tags == ("e", "r")
    (entry,) = parsed([settled])
    assert isinstance(entry, EvidenceEntry)
    assert (entry.payload, entry.result, entry.received_us) == (PUSH, b"token", 5_000_000)
    assert pairing.due(1000) == []


def test_a_result_without_evidence_does_not_wait_for_ever() -> None:
    pairing = new_pairing()
    pairing.take_result(signed(b"token", EVIDENCE, received_us=None), "r", 0)
    pairing.take_result(signed(b"token", EVIDENCE, received_us=None), "again", 1)
    assert pairing.due(1.9) == []
    (settled,) = pairing.due(2)
    assert settled.tags == ("r", "again")
    (entry,) = parsed([settled])
    assert isinstance(entry, EvidenceEntry)
    assert (entry.payload, entry.received_us, entry.cause) == (None, 7_000_000, "resolved")
    pairing.take_result(signed(b"overdue", None), "o", 3)
    assert len(pairing.due(3)) == 1


def test_what_is_in_the_log_is_not_written_again() -> None:
    pairing = new_pairing()
    entry = EvidenceEntry(received_us=1, ueid=DEVICE.ueid, reasons=(), result=b"token", digest=bytes(32), payload=None)
    handle = ObjectEntry(received_us=1, kind=TopicKind.HANDLES, raw=b"h")
    pairing.remember([encode_entry(entry), encode_entry(handle), b"\xff"])
    pairing.take_evidence(PUSH, "e", 0)
    assert pairing.take_result(signed(b"token", EVIDENCE), "r", 0) == [Settled(entry=None, tags=("r", "e"))]
    assert pairing.take_object(TopicKind.HANDLES, b"h", "o", 0) == [Settled(entry=None, tags=("o",))]
    assert len(parsed(pairing.take_object(TopicKind.HANDLES, b"h2", "o", 0))) == 1
    assert (pairing.waiting, pairing.dropped) == (0, 0)


def test_evidence_that_no_result_answers_is_given_up() -> None:
    pairing = new_pairing()
    pairing.take_evidence(PUSH, "e", 0)
    pairing.take_evidence(PUSH, "e again", 1)
    assert pairing.due(59) == []
    assert pairing.due(60) == [Settled(entry=None, tags=("e", "e again"))]
    assert pairing.dropped == 1


def test_a_full_room_lets_the_oldest_go() -> None:
    pairing = new_pairing(waiting_max=2)
    pushes = [payload(DEVICE.push(elapsed_ms=1)) for _ in range(3)]
    assert [pairing.take_evidence(each, str(number), number) for number, each in enumerate(pushes)] == [
        [],
        [],
        [Settled(entry=None, tags=("0",))],
    ]
    assert (pairing.waiting, pairing.dropped) == (2, 1)


def test_forged_copies_of_a_body_push_nothing_out() -> None:
    pairing = new_pairing()
    pairing.take_evidence(PUSH, "true", 0)
    for number in range(20):
        pairing.take_evidence(payload(replace(EVIDENCE, signature=b"forged %d" % number)), f"forged {number}", 0)
    assert pairing.waiting == MAX_CANDIDATES
    pairing.take_result(signed(b"token", EVIDENCE), "r", 0)
    settled = pairing.due(0)
    payloads = [entry.payload for entry in parsed(settled) if isinstance(entry, EvidenceEntry)]
    assert PUSH in payloads
    assert len(payloads) == MAX_CANDIDATES
    assert settled[-1].tags[-1] == "r"


def test_what_is_no_evidence_is_refused() -> None:
    with pytest.raises(PeerError, match="malformed"):
        new_pairing().take_evidence(b"nonsense", "e", 0)
