"""Every codec and its CDDL agree: what we encode validates, what the CDDL refuses we refuse."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from schemas import media_types
from schemas.audit import proof as audit_proofs
from schemas.audit.anchors import Anchors, Start, encode_anchors, encode_start, parse_anchors, parse_start, public_der
from schemas.audit.entry import (
    ANCHORS,
    LOCAL_POLICY,
    START,
    EvidenceEntry,
    ObjectEntry,
    encode_entry,
    leaf_of,
    parse_entry,
)
from schemas.cel import in_cbor as cel_cbor
from schemas.cel import records as cel
from schemas.codecs import cbor, cmw, cose
from schemas.errors import PeerError
from schemas.hashes import SHA256
from schemas.identifiers import HandleId
from schemas.media_types import Indicator
from schemas.messages import result, result_cwt
from schemas.messages.alert import Alert, AlertKind, Condition, encode_alert, parse_unverified_alert
from schemas.messages.endorsement import Endorsement, Genuine, sign_endorsement, verify_endorsement
from schemas.messages.enrolment import (
    Activation,
    Challenge,
    EnrolmentRequest,
    IakProof,
    Outcome,
    challenge_digest,
    encode_activation,
    encode_request,
    parse_activation,
    parse_request,
    request_digest,
    sign_challenge,
    sign_outcome,
    verify_challenge,
    verify_outcome,
)
from schemas.messages.evidence import Transition, encode_evidence, parse_evidence
from schemas.messages.handle import HandleClaims, attach_stamp, sign_claims
from schemas.messages.passport_proof import PassportProof, encode_proof, parse_proof
from schemas.messages.policy import SignedPolicy, sign_policy, verify_policy
from schemas.messages.reference_values import sign_reference_values, verify_reference_values
from schemas.messages.result import AttestationResult, Rejections
from schemas.messages.solicit import Solicit, sign_solicit, verify_solicit
from schemas.messages.status import Status, encode_status, parse_unverified_status
from schemas.messages.trust_statement import Listed, TrustStatement, Withdrawal, Withdrawn, sign_statement
from schemas.topics import TopicKind
from schemas.transitions import TransitionKind
from schemas.verdicts import Freshness, Tier, TrustClaim
from tests.builders.cddl import KEY, Invalid, conforms, device, endorsement, reference_values, rule
from tests.worlds.device import make_references

KEYS = {cose.key_id(KEY.public_key()): KEY.public_key()}


def evidence() -> bytes:
    """A full push with everything in it."""
    return encode_evidence(device().push(claims={"os": "Debian"}))


def heartbeat() -> bytes:
    """The smallest push."""
    made = device()
    made.push()
    return encode_evidence(made.push())


def handle() -> bytes:
    """A signed handle with a token's place filled."""
    claims = HandleClaims(
        issuer="clock", not_before_s=1, expires_s=2, nonce=bytes(32), epoch_marker=b"0", previous=HandleId(bytes(32))
    )
    return attach_stamp(sign_claims(claims, KEY), b"token")


def solicit() -> bytes:
    """A solicit with log positions."""
    asked = Solicit(
        ueid=device().ueid, verifier="v", issued_us=1, reason="sequence-gap", full=True, logs={"ima": 3, "tcg2": 0}
    )
    return sign_solicit(asked, KEY)


def full_endorsement() -> bytes:
    """An endorsement that says how the key was proven, and a group."""
    made = device()
    vouched = Endorsement(
        ueid=made.ueid,
        attesting_key=made.public,
        version=1,
        signer="e",
        not_before_s=0,
        not_after_s=9,
        genuine=Genuine.EK_CERTIFICATE,
        group="plant-7",
    )
    return sign_endorsement(vouched, made.raw_public, KEY)


def enrolment_request() -> bytes:
    """A request with everything in it."""
    made = EnrolmentRequest(
        ek_public=b"ek",
        ak_public=b"ak",
        nonce=bytes(16),
        certificate=b"0",
        chain=(b"1", b"2"),
        name="device-1",
        iak=IakProof(certificate=b"3", attest=b"a", signature=b"s"),
    )
    return encode_request(made)


def enrolment_challenge() -> bytes:
    """A challenge."""
    made = Challenge(
        ueid=device().ueid,
        request=request_digest(b""),
        credential=bytes(68),
        encrypted_secret=bytes(256),
        expires_s=1,
    )
    return sign_challenge(made, KEY)


def enrolment_activation() -> bytes:
    """An activation."""
    return encode_activation(Activation(request=request_digest(b""), challenge=challenge_digest(b""), proof=bytes(32)))


def enrolment_outcome() -> bytes:
    """An outcome with an endorsement."""
    return sign_outcome(Outcome(ueid=device().ueid, request=request_digest(b""), endorsement=endorsement()), KEY)


def policy() -> bytes:
    """A signed policy."""
    made = SignedPolicy(id="fleet", version=1, signer="e", not_before_s=0, not_after_s=9, text='id = "fleet"')
    return sign_policy(made, KEY)


def policy_claims() -> bytes:
    """What is signed of it."""
    return cose.parse(policy(), "policy").unverified_payload


def statement() -> bytes:
    """A statement of what is current."""
    made = TrustStatement(
        issuer="endorser",
        number=1,
        issued_s=1,
        not_after_s=2,
        policies={"fleet": Listed(1, bytes(32))},
        groups={"*": "fleet"},
        reference_values={"golden": Listed(1, bytes(32))},
        withdrawn={device().ueid: Withdrawal(below=2, standing=Withdrawn.REVOKED, at_s=1, by="operator")},
    )
    return sign_statement(made, KEY)


def statement_claims() -> bytes:
    """What is signed of it."""
    return cose.parse(statement(), "statement").unverified_payload


def audit_policy() -> bytes:
    """An audit entry about a policy."""
    return encode_entry(ObjectEntry(received_us=1, kind=TopicKind.POLICIES, raw=policy()))


def status() -> bytes:
    """A status."""
    return encode_status(Status(role="verifier", name="v", online=True, version="1"))


def alert() -> bytes:
    """An alert with every optional member."""
    made = Alert(
        id="0a1b",
        kind=AlertKind.VERDICT,
        made_s=1,
        summary="s",
        next_step="n",
        ueid=device().ueid,
        condition=Condition.CONTRAINDICATED,
        before=Condition.AFFIRMING,
        reasons=("file-unexpected",),
        count=1,
        attesters=(device().ueid,),
        verifier="v",
        rule="all",
        token=b"ey",
    )
    return encode_alert(made)


def cel_record() -> bytes:
    """A record of ours."""
    content = cel.ApplicationContent(event_type="app.config", name="/etc/app.conf", digest=bytes(32))
    return cel_cbor.encode_record(cel.application_record(16, content, (SHA256.tpm_id,), 3))


def full_result() -> AttestationResult:
    """A result with every optional member."""
    return AttestationResult(
        ueid=device().ueid,
        environment=b"\x00\x0b" + bytes(32),
        status=Tier.CONTRAINDICATED,
        freshness=Freshness.FRESH,
        reasons=("file-unexpected",),
        vector={TrustClaim.EXECUTABLES: 96},
        issued_s=1,
        expires_s=2,
        verifier="v",
        handle=HandleId(bytes(32)),
        evidence=bytes(32),
        sequence=1,
        made_after_us=1,
        made_before_us=2,
        received_us=2,
        received_after=HandleId(bytes(32)),
        policies=("p/1",),
        logs={"ima": 1},
        logs_total={"ima": 2},
        unexpected=("/evil",),
        unexpected_total=1,
        claims={"kernel": "6.1", "n": 1, "b": True},
        rejections=Rejections(count=1, last="malformed", last_us=3),
        clock_rate_ppm=(-5, 5),
        transitions=(Transition(kind=TransitionKind.KEXEC, clock_ms=1, reset_count=2, restart_count=3),),
    )


def result_claims() -> bytes:
    """The JWT claims of a result, as JSON."""
    full = full_result()
    claims = json.loads(json.dumps(result.to_claims(full, "d", "b")))
    assert result.from_claims(claims) == full
    return json.dumps(claims).encode()


def audit_evidence() -> bytes:
    """An audit entry about a push that was accepted."""
    return encode_entry(
        EvidenceEntry(
            received_us=1,
            ueid=device().ueid,
            reasons=("resumed",),
            result=b"x.y.z",
            digest=bytes(32),
            payload=None,
        )
    )


def audit_object() -> bytes:
    """An audit entry about a handle."""
    return encode_entry(ObjectEntry(received_us=1, kind=TopicKind.HANDLES, raw=handle()))


def audit_reference() -> bytes:
    """The leaf of an entry that is too long for one."""
    leaf, reference = leaf_of(bytes(70_000))
    assert reference is not None
    return leaf


def audit_anchors() -> bytes:
    """Whom a verifier believes."""
    key = public_der(KEY.public_key())
    return encode_anchors(
        Anchors(
            verifier="v",
            build="b",
            result_format="jwt",
            key=key,
            endorsers=(key,),
            distributors=(key,),
            tsa_roots=(b"root",),
            tsa_intermediates=(b"between",),
            state_version=1,
        )
    )


def audit_start() -> bytes:
    """A verifier started."""
    return encode_start(Start(anchors=bytes(32), policy=bytes(32), attesters=0, objects=1))


def audit_proof() -> bytes:
    """A proof with everything in it."""
    head = audit_proofs.ProvenHead(note=b"note", stamp=b"token", cosignatures=b"lines")
    entry = audit_proofs.ProvenEntry(index=3, head=1, path=(bytes(32), bytes(32)), entry=audit_start_entry())
    return audit_proofs.encode_proof(
        audit_proofs.AuditProof(
            ueid=device().ueid,
            at_us=1,
            heads=(replace(head, stamp=None), head),
            consistency=((bytes(32),),),
            entries=(entry, replace(entry, index=4, head=0)),
            before=3,
            after=None,
        )
    )


def _proof_content() -> dict[int, list[bytes]]:
    outer: Any = cbor.decode(audit_proof(), "proof")
    content: Any = cbor.decode(outer[1], "content")
    return content  # type: ignore[no-any-return]  # decoded


def audit_proof_content() -> bytes:
    """What its checksum is over."""
    return cbor.encode(_proof_content())


def audit_proof_entry() -> bytes:
    """One of its entries."""
    return _proof_content()[5][0]


def _with_content(content: bytes) -> bytes:
    return cbor.encode([media_types.AUDIT_PROOF, content, hashlib.sha256(content).digest()])


def _with_entry(entry: bytes) -> bytes:
    return _with_content(cbor.encode({**_proof_content(), 5: [entry]}))


def audit_anchors_entry() -> bytes:
    """An audit entry about them."""
    return encode_entry(ObjectEntry(received_us=1, kind=ANCHORS, raw=audit_anchors()))


def audit_policy_entry() -> bytes:
    """An audit entry about a verifier's own policy."""
    return encode_entry(ObjectEntry(received_us=1, kind=LOCAL_POLICY, raw=b'id = "x"'))


def audit_start_entry() -> bytes:
    """An audit entry about a start."""
    return encode_entry(ObjectEntry(received_us=1, kind=START, raw=audit_start()))


def result_cbor_claims() -> bytes:
    """The CWT claims of a result."""
    return cbor.encode(result_cwt.to_cbor(result.to_claims(full_result(), "d", "b")))


def undecided_claims() -> bytes:
    """The CWT claims of a result that concludes nothing."""
    undecided = replace(full_result(), status=Tier.NONE, vector={}, handle=None)
    return cbor.encode(result_cwt.to_cbor(result.to_claims(undecided, "d", "b")))


def cwt_result() -> bytes:
    """The same, signed."""
    return result_cwt.sign(result.to_claims(full_result(), "d", "b"), KEY)


def passport_proof() -> bytes:
    """An answer to a challenge."""
    return encode_proof(PassportProof(attest=b"a", signature=b"s", public=b"p"))


MESSAGES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "handle": ("handle.cddl", handle),
    "evidence": ("evidence.cddl", evidence),
    "heartbeat": ("evidence.cddl", heartbeat),
    "solicit": ("solicit.cddl", solicit),
    "endorsement": ("corim.cddl", endorsement),
    "full-endorsement": ("corim.cddl", full_endorsement),
    "enrolment-request": ("enrolment.cddl", enrolment_request),
    "enrolment-challenge": ("enrolment.cddl", enrolment_challenge),
    "enrolment-activation": ("enrolment.cddl", enrolment_activation),
    "enrolment-outcome": ("enrolment.cddl", enrolment_outcome),
    "reference-values": ("corim.cddl", reference_values),
    "policy": ("policy.cddl", policy),
    "policy-claims": ("policy.cddl", policy_claims),
    "statement": ("statement.cddl", statement),
    "statement-claims": ("statement.cddl", statement_claims),
    "status": ("status.cddl", status),
    "alert": ("alert.cddl", alert),
    "cel-record": ("evidence.cddl", cel_record),
    "result-claims": ("result.cddl", result_claims),
    "audit-evidence": ("audit.cddl", audit_evidence),
    "audit-object": ("audit.cddl", audit_object),
    "audit-reference": ("audit.cddl", audit_reference),
    "audit-policy": ("audit.cddl", audit_policy),
    "audit-anchors": ("audit.cddl", audit_anchors),
    "audit-start": ("audit.cddl", audit_start),
    "audit-anchors-entry": ("audit.cddl", audit_anchors_entry),
    "audit-local-policy": ("audit.cddl", audit_policy_entry),
    "audit-start-entry": ("audit.cddl", audit_start_entry),
    "audit-proof": ("audit_proof.cddl", audit_proof),
    "audit-proof-content": ("audit_proof.cddl", audit_proof_content),
    "audit-proof-entry": ("audit_proof.cddl", audit_proof_entry),
    "result-cbor-claims": ("result.cddl", result_cbor_claims),
    "undecided-claims": ("result.cddl", undecided_claims),
    "cwt-result": ("result.cddl", cwt_result),
    "passport-proof": ("result.cddl", passport_proof),
}
RULES = {
    "heartbeat": "evidence",
    "full-endorsement": "endorsement",
    "audit-evidence": "audit-entry",
    "audit-object": "audit-entry",
    "audit-reference": "audit-leaf",
    "audit-policy": "audit-entry",
    "audit-anchors-entry": "audit-entry",
    "audit-local-policy": "audit-entry",
    "audit-start-entry": "audit-entry",
    "undecided-claims": "result-cbor-claims",
}


@pytest.mark.parametrize("name", MESSAGES)
def test_what_we_encode_is_what_the_cddl_says(name: str) -> None:
    file, make = MESSAGES[name]
    raw = make()
    assert conforms(file, RULES.get(name, name), raw)


@pytest.mark.parametrize("name", MESSAGES)
def test_the_cddl_is_not_a_rubber_stamp(name: str) -> None:
    file, _ = MESSAGES[name]
    for other in (cbor.encode({99: 1}), cbor.encode([1]), cbor.encode("text"), cbor.encode(cbor.Tag(18, [b"", {}]))):
        assert not conforms(file, RULES.get(name, name), other)


def test_the_cmw_record_conforms() -> None:
    assert conforms("status.cddl", "cmw-record", cmw.wrap(media_types.EVIDENCE, b"x", Indicator.EVIDENCE))
    assert conforms("status.cddl", "cmw-plain-record", cmw.wrap(media_types.STATUS, b"x", None))


def _signed_policy(payload: bytes) -> bytes:
    return cose.encode(cose.sign(payload, KEY, {cose.HEADER_TYPE: media_types.POLICY}))


def _parsers() -> dict[str, Callable[[bytes], object]]:
    return {
        "evidence": parse_evidence,
        "heartbeat": parse_evidence,
        "solicit": lambda raw: verify_solicit(raw, KEYS),
        "endorsement": lambda raw: verify_endorsement(raw, KEYS),
        "full-endorsement": lambda raw: verify_endorsement(raw, KEYS),
        "enrolment-request": parse_request,
        "enrolment-challenge": lambda raw: verify_challenge(raw, KEYS),
        "enrolment-activation": parse_activation,
        "enrolment-outcome": lambda raw: verify_outcome(raw, KEYS),
        "reference-values": lambda raw: verify_reference_values(raw, KEYS),
        "policy": lambda raw: verify_policy(raw, KEYS),
        "policy-claims": lambda raw: verify_policy(_signed_policy(raw), KEYS),
        "status": parse_unverified_status,
        "alert": parse_unverified_alert,
        "cel-record": cel_cbor.parse_record,
        "passport-proof": parse_proof,
        "audit-anchors": parse_anchors,
        "audit-start": parse_start,
        "audit-proof": audit_proofs.parse_proof,
        "audit-proof-content": lambda raw: audit_proofs.parse_proof(_with_content(raw)),
        "audit-proof-entry": lambda raw: audit_proofs.parse_proof(_with_entry(raw)),
        "audit-start-entry": parse_entry,
    }


def _mutants(value: object) -> Iterator[object]:
    """The value with one thing changed: a key missing, an unknown key, another type, one more item."""
    if isinstance(value, dict):
        for key in value:
            yield {other: item for other, item in value.items() if other != key}
            for mutant in _mutants(value[key]):
                yield {**value, key: mutant}
        yield {**value, 77: 1}
    elif isinstance(value, list):
        for position, item in enumerate(value):
            for mutant in _mutants(item):
                yield [*value[:position], mutant, *value[position + 1 :]]
        yield [*value, 1]
    else:
        yield 1.5
        yield -1
        yield None
        yield []


@pytest.mark.parametrize(
    "name",
    [
        "evidence",
        "heartbeat",
        "status",
        "alert",
        "cel-record",
        "passport-proof",
        "enrolment-request",
        "enrolment-activation",
        "policy-claims",
        "audit-anchors",
        "audit-start",
        "audit-start-entry",
        "audit-proof",
        "audit-proof-content",
        "audit-proof-entry",
    ],
)
def test_codec_and_cddl_refuse_the_same_changes(name: str) -> None:
    """What the CDDL refuses, the codec must refuse: it may be stricter, never laxer."""
    file, make = MESSAGES[name]
    parse, described = _parsers()[name], rule(file, RULES.get(name, name))
    laxer, count = [], 0
    for mutant in _mutants(cbor.decode(make(), name)):
        raw = cbor.encode(mutant)
        count += 1
        try:
            described.validate_str(raw)
        except Invalid:
            try:
                parse(raw)
            except PeerError:
                continue
            laxer.append(mutant)
    assert count > 10
    assert laxer == []


@pytest.mark.parametrize(
    "name",
    [
        "solicit",
        "endorsement",
        "full-endorsement",
        "reference-values",
        "policy",
        "enrolment-challenge",
        "enrolment-outcome",
    ],
)
def test_signed_objects_parse_back(name: str) -> None:
    assert _parsers()[name](MESSAGES[name][1]()) is not None


def test_reference_values_come_back_as_they_were() -> None:
    made = make_references(device())
    again = verify_reference_values(sign_reference_values(made, KEY), KEYS)
    assert again == made
    assert set(again.registers) == {SHA256}
