"""True examples of everything that travels, to start from, signed by keys that are always the same."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from typing_extensions import override

from runtime.time_stamps.verifier import TimeStampVerifier
from schemas import media_types
from schemas.codecs import cmw, cose, jws
from schemas.codecs.tst_info import TstInfo, parse_tst_info
from schemas.identifiers import HandleId, Ueid, ueid_text
from schemas.media_types import Indicator
from schemas.messages import corim, result_cwt
from schemas.messages.alert import Alert, AlertKind, Condition, encode_alert
from schemas.messages.endorsement import sign_endorsement
from schemas.messages.evidence import Evidence, LogIncrement, encode_body, encode_evidence
from schemas.messages.handle import EPOCH_BELL_IMPRINT, HandleClaims, attach_stamp, sign_claims
from schemas.messages.passport_proof import PassportProof, encode_proof, qualifying_data
from schemas.messages.policy import SignedPolicy, sign_policy
from schemas.messages.reference_values import sign_reference_values
from schemas.messages.result import to_claims
from schemas.messages.solicit import Solicit, sign_solicit
from schemas.messages.status import Status, encode_status
from schemas.topics import Topics
from schemas.verdicts import Freshness, Tier
from tests.builders.token_forge import ForgedAuthority, tst_info
from tests.fakes.relying_party import result_about
from tests.fakes.verifier import FakeAuditLog, FakePublisher
from tests.worlds.device import (
    GOOD_FILES,
    T0_US,
    FakeDevice,
    make_endorsement,
    make_handle,
    make_references,
    make_trust,
)
from verifier_worker.adapters.solicitor import Identity
from verifier_worker.ports import Outcome, Pending, StateStore, StoredAttester
from verifier_worker.worker import Received, Worker

KEY: Final = derive_private_key(0xF022, SECP256R1())
KEYS: Final = {cose.key_id(KEY.public_key()): KEY.public_key()}
_KEY_TEXT: Final = cose.key_id(KEY.public_key()).hex()
JWS_KEYS: Final = {_KEY_TEXT: KEY.public_key()}
STAMP_TIME_US: Final = T0_US

HANDLE_TYPE: Final[Mapping[int, object]] = {cose.HEADER_TYPE: media_types.HANDLE}
SOLICIT_TYPE: Final[Mapping[int, object]] = {cose.HEADER_TYPE: media_types.SOLICIT}
POLICY_TYPE: Final[Mapping[int, object]] = {cose.HEADER_TYPE: media_types.POLICY}


class AnyStamp:
    """A TSA that has stamped everything, always at one time."""

    def __init__(self, time_us: int) -> None:
        self._stamp: Final = parse_tst_info(tst_info(bytes(32), time_us))

    def verify_stamp(self, token: bytes, imprint: bytes) -> TstInfo:
        return self._stamp


def signed(payload: bytes, headers: Mapping[int, object], *, stamped: bool = False) -> bytes:
    """A payload as :data:`KEY` signs it."""
    sign1 = cose.sign(payload, KEY, headers)
    return attach_stamp(sign1, b"token") if stamped else cose.encode(sign1)


def _payload(raw: bytes) -> bytes:
    return cose.parse(raw, "sample").unverified_payload


# -- handles and stamps ------------------------------------------------------------------------------------------------

TST_INFO: Final = tst_info(EPOCH_BELL_IMPRINT, STAMP_TIME_US, nonce=5)
IMPRINT: Final = hashlib.sha256(b"stamped").digest()
_AUTHORITY: Final = ForgedAuthority.make()
STAMPS: Final = TimeStampVerifier(_AUTHORITY.root.pem)
TOKEN: Final = _AUTHORITY.token(IMPRINT, STAMP_TIME_US)
_HANDLE_CLAIMS: Final = HandleClaims(
    issuer="clock",
    not_before_s=STAMP_TIME_US // 1_000_000,
    expires_s=STAMP_TIME_US // 1_000_000 + 60,
    nonce=bytes(32),
    epoch_marker=TST_INFO,
    previous=HandleId(bytes(32)),
)
HANDLE: Final = attach_stamp(sign_claims(_HANDLE_CLAIMS, KEY), TOKEN)
HANDLE_PAYLOAD: Final = _payload(HANDLE)

# -- an attester -------------------------------------------------------------------------------------------------------

_HANDLE: Final = make_handle()
_DEVICE: Final = FakeDevice(key=derive_private_key(0xDE, SECP256R1()))
_DEVICE.sync(_HANDLE)
_TRUST: Final = make_trust(_DEVICE, handles=(_HANDLE,))
_BASELINE: Final = _DEVICE.push()
_DEVICE.run(*next(iter(GOOD_FILES.items())))
_DELTA: Final = _DEVICE.push(claims={"kernel": "6.2"})
EVIDENCE: Final = encode_evidence(_BASELINE)
DELTA: Final = encode_evidence(_DELTA)
QUOTE: Final = _BASELINE.quote
SIGNATURE: Final = _BASELINE.signature
SYNC: Final = _BASELINE.body.sync.attest
PUBLIC: Final = _DEVICE.raw_public
DEVICE_KEY: Final = _DEVICE.key.public_key()

# -- signed objects ----------------------------------------------------------------------------------------------------

ENDORSEMENT: Final = sign_endorsement(make_endorsement(_DEVICE.ueid, _DEVICE.public), PUBLIC, KEY)
ENDORSEMENT_PAYLOAD: Final = _payload(ENDORSEMENT)
REFERENCE_VALUES: Final = sign_reference_values(make_references(_DEVICE), KEY)
REFERENCE_VALUES_PAYLOAD: Final = _payload(REFERENCE_VALUES)
_CORIM_HEADERS: Final = cose.parse(ENDORSEMENT, "sample").headers
CORIM_TYPE: Final[Mapping[int, object]] = {
    label: _CORIM_HEADERS[label] for label in (cose.HEADER_CONTENT_TYPE, corim.HEADER_CORIM_META)
}
POLICY_TEXT: Final = """\
id = "fleet"
groups = ["edge", "*"]
pcrs = "sha256:0-10"
reference_values = ["good"]
deadline_s = 5
[logs]
tcg2 = [0, 4, 7]
ima = [10]
cel = { app = [7] }
[boot]
secure_boot = true
loaders = ["abababababababababababababababababababababababababababababababab"]
[ima]
exclude = ["/var/cache/*"]
agent = ["/opt/*/agent", "/usr/bin/attester-agent"]
required = ["/etc/ima/ima-policy"]
[weights]
file-unexpected = "warning"
[[rules]]
name = "odd"
when = 'said["kernel"].matches("^5[.]") && unexpected.exists(path, path.startsWith("/opt/")) || age_s > 1.0'
"""
POLICY: Final = sign_policy(
    SignedPolicy(id="fleet", version=1, signer="e", not_before_s=0, not_after_s=2**40, text=POLICY_TEXT), KEY
)
POLICY_PAYLOAD: Final = _payload(POLICY)
SOLICIT: Final = sign_solicit(
    Solicit(ueid=_DEVICE.ueid, verifier="v", issued_us=T0_US, reason="log-gap", full=True, logs={"ima": 5, "tcg2": 0}),
    KEY,
)
SOLICIT_PAYLOAD: Final = _payload(SOLICIT)
RAW_STATUS: Final = encode_status(Status(role="attester", name="device-1", online=True, version="1"))
RAW_ALERT = encode_alert(
    Alert(
        id="0a1b",
        kind=AlertKind.STORM,
        made_s=1,
        summary="12 attesters are stale",
        next_step="look at the broker",
        condition=Condition.STALE,
        before=Condition.AFFIRMING,
        reasons=("evidence-overdue",),
        count=12,
        attesters=(Ueid(b"\x01" + bytes(32)),),
        token=b"ey",
    )
)
_CLAIMS: Final = to_claims(
    result_about(
        status=Tier.NONE,
        freshness=Freshness.STALE,
        reasons=("evidence-overdue",),
        handle=HandleId(bytes(32)),
        evidence=bytes(32),
        sequence=5,
        logs={"ima": 5},
        logs_total={"ima": 10},
        unexpected=("/bin/x",),
        unexpected_total=1,
        claims={"os": "x"},
        clock_rate_ppm=(-5, 5),
    ),
    "d",
    "b",
)
RESULT_CLAIMS: Final = json.dumps(_CLAIMS).encode()
RESULT_TOKEN: Final = jws.sign(_CLAIMS, KEY, _KEY_TEXT)
RESULT_CWT: Final = result_cwt.sign(_CLAIMS, KEY)
PASSPORT_CHALLENGE: Final = bytes(32)
_ANSWER: Final = _DEVICE.quote(qualifying_data(RESULT_TOKEN, PASSPORT_CHALLENGE))
PASSPORT_PROOF: Final = encode_proof(PassportProof(attest=_ANSWER[0], signature=_ANSWER[1], public=PUBLIC))

# -- the worker --------------------------------------------------------------------------------------------------------


class _OneState(StateStore):
    """A store with what is known of one attester; it forgets what it is given."""

    def __init__(self, stored: StoredAttester | None) -> None:
        self.stored = stored

    @override
    def load(self, ueid: Ueid) -> StoredAttester | None:
        return self.stored

    @override
    def forget(self, ueid: Ueid) -> None:
        self.stored = None

    @override
    def attesters(self) -> int:
        return int(self.stored is not None)

    @override
    def commit(self, outcomes: Sequence[Outcome], done: Iterable[int]) -> Sequence[Pending]:
        for outcome in outcomes:
            if outcome.state is not None:
                result, expires_us = outcome.result, outcome.expires_us
                self.stored = StoredAttester(state=outcome.state, result=result, result_expires_us=expires_us)
        return ()

    @override
    def number_after(self, last: int) -> None:
        pass

    @override
    def pending(self) -> Sequence[Pending]:
        return ()

    @override
    def due(self, now_us: int, limit: int) -> Sequence[Ueid]:
        return ()

    @override
    def load_trust(self) -> Sequence[tuple[str, bytes]]:
        return ()

    @override
    def save_trust(self, kind: str, key: bytes, raw: bytes, keep_until_us: int) -> None:
        pass

    @override
    def prune_trust(self, now_us: int) -> None:
        pass


def _payload_of(evidence: Evidence) -> bytes:
    return cmw.wrap(media_types.EVIDENCE, encode_evidence(evidence), Indicator.EVIDENCE)


def _process(store: _OneState, *payloads: bytes) -> None:
    worker = Worker(
        Identity(name="v", key=KEY, topics=Topics()),
        store,
        FakeAuditLog(),
        FakePublisher(),
        trust=lambda _now_us, _ueid: _TRUST,
        solicit_interval_s=0,
        cached_states=1,
    )
    name = ueid_text(_DEVICE.ueid)
    worker.process(
        [
            Received(ueid_text=name, payload=payload, received_us=T0_US + 5_000_000 + number)
            for number, payload in enumerate(payloads)
        ]
    )


_settled = _OneState(None)
_process(_settled, _payload_of(_BASELINE))
SETTLED: Final = _settled.stored

WORKER_SEEDS: Final = [
    b"\x00" + _payload_of(_BASELINE),
    b"\x01" + _payload_of(_DELTA),
    b"\x02" + _DELTA.unsigned_increments["ima"].records,
    b"\x03" + _BASELINE.unsigned_increments["tcg2"].records,
    b"\x04" + _DELTA.raw_body,
    b"\x05" + _BASELINE.unsigned_increments["ima"].records,
]


def feed_worker(data: bytes) -> None:
    """One message, by its first byte, then an honest push: whatever came before, the worker goes on."""
    kind, rest = data[:1], data[1:]
    store = _OneState(None if kind in {b"\x00", b"\x03", b"\x05"} else SETTLED)
    match kind:
        case b"\x02":  # someone on the way changes the IMA increment of a delta
            payload = _with_increment(_DELTA, "ima", rest)
        case b"\x03":  # the owner of the device makes up a boot log
            payload = _payload_of(_made_up(rest))
        case b"\x04":  # ... or a body
            payload = _payload_of(_quoted(rest))
        case b"\x05":  # someone on the way changes the IMA list of a baseline
            payload = _with_increment(_BASELINE, "ima", rest)
        case _:
            payload = rest
    _process(store, payload, payload, _payload_of(_DELTA))


def _with_increment(evidence: Evidence, name: str, records: bytes) -> bytes:
    total = evidence.body.logs[name] + 1 + len(records) % 5
    increments = {**evidence.unsigned_increments, name: LogIncrement(records=records, total=total)}
    return _payload_of(replace(evidence, unsigned_increments=increments))


def _made_up(records: bytes) -> Evidence:
    digest = hashlib.sha256(records).digest()
    body = encode_body(replace(_BASELINE.body, increment_digests={"tcg2": digest}))
    increments = {**_BASELINE.unsigned_increments, "tcg2": LogIncrement(records=records, total=9)}
    return replace(_quoted(body), unsigned_increments=increments)


def _quoted(raw_body: bytes) -> Evidence:
    quote, signature = _DEVICE.quote(hashlib.sha256(raw_body).digest())
    return replace(_BASELINE, raw_body=raw_body, quote=quote, signature=signature)
