"""A device in memory: a signing key, PCRs, a clock, a boot log and an IMA list, and pushes as an agent makes them.

It is honest unless a test makes it lie: everything it signs goes through ``quote`` and ``sync``, whose arguments a test
may choose as an attacker on the device could.
"""

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from schemas.cel import in_cbor as cel_cbor
from schemas.cel.records import ApplicationContent, CelRecord, application_record
from schemas.hashes import SHA256
from schemas.identifiers import HandleId, Ueid
from schemas.limits import MAX_TRANSITIONS
from schemas.messages.endorsement import Endorsement
from schemas.messages.evidence import (
    Evidence,
    EvidenceBody,
    LogIncrement,
    PcrBanks,
    SyncProof,
    Transition,
    encode_body,
)
from schemas.messages.handle import Handle, HandleClaims
from schemas.messages.reference_values import ReferenceValues
from schemas.tpm.pcr import PcrSelection, encode_selection, parse_selection_text
from schemas.tpm.public import TpmPublic, parse_public
from schemas.transitions import TransitionKind
from tests.builders import tpm_bytes
from tests.builders.log_bytes import ima_ng, ima_record, measured, spec_id_record
from verifier_worker.core.policy.ima_demands import ImaTable
from verifier_worker.core.policy.policy_file import AppraisalPolicy, LogsTable, PolicyTable, check_policy
from verifier_worker.core.statements import Current
from verifier_worker.core.trust import Trust, endorsed_key, merge_references

T0_US = 1_800_000_000_000_000
SELECTION = "sha256:0-10"
ALWAYS_CURRENT = Current(2**37, 2**40)  # stated in the far future
NO_AGENT = ImaTable(agent=())


def make_handle(number: int = 0, *, time_us: int = T0_US, accuracy_us: int = 0, lifetime_s: int = 300) -> Handle:
    """A handle as if verified."""
    claims = HandleClaims(
        issuer="clock",
        not_before_s=time_us // 1_000_000,
        expires_s=time_us // 1_000_000 + lifetime_s,
        nonce=bytes(32),
        epoch_marker=b"",
        previous=None,
    )
    handle_id = HandleId(hashlib.sha256(b"handle %d" % number).digest())
    return Handle(id=handle_id, raw=b"", claims=claims, time_us=time_us, accuracy_us=accuracy_us)


@dataclass
class FakeDevice:
    """One device; ``files`` maps paths to contents that it has run."""

    label: bytes = b"device"
    clock_ms: int = 1000
    reset_count: int = 1
    restart_count: int = 0
    sequence: int = 0
    previous: bytes | None = None
    boot_log: list[bytes] = field(default_factory=list)
    ima_list: list[bytes] = field(default_factory=list)
    sent: dict[str, int] = field(default_factory=dict)
    pcrs: dict[int, bytes] = field(default_factory=dict)
    proof: SyncProof | None = None
    pads_sha1: bool = False
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    cel_logs: dict[str, list[bytes]] = field(default_factory=dict)
    transitions: list[Transition] = field(default_factory=list)
    reported: list[Transition] = field(default_factory=list)
    clock_set_ms: int = 0
    safe: bool = True
    firmware_version: int = 0x2019_1023_0016_3636
    sync_stamp: bytes | None = None

    def __post_init__(self) -> None:
        numbers = self.key.public_key().public_numbers()
        point = tpm_bytes.sized(numbers.x.to_bytes(32, "big")) + tpm_bytes.sized(numbers.y.to_bytes(32, "big"))
        self.raw_public = bytes.fromhex("0023000b00050072000000100018000b00030010") + point
        self.ueid = Ueid(b"\x01" + hashlib.sha256(self.label).digest())
        self.selection: PcrSelection = parse_selection_text(SELECTION)
        self.boot()

    @property
    def public(self) -> TpmPublic:
        """The attesting key's public area."""
        return parse_public(self.raw_public)

    def boot(self) -> None:
        """Fresh PCRs, the firmware's measurements, the first entry of the kernel."""
        self.pcrs = {index: bytes(32) for index in range(24)}
        self.boot_log = [spec_id_record({SHA256.tpm_id: 32})]
        self.ima_list, self.sent, self.proof = [], {}, None
        self.cel_logs = {}
        for index in range(8):
            self.measure_boot(index, b"firmware %d" % index)
        self.measure_aggregate()

    def measure_aggregate(self) -> None:
        """The first entry of a kernel."""
        aggregate = hashlib.sha256(b"".join(self.pcrs[index] for index in range(10))).digest()
        self.measure_record(_ima_digest(b"boot_aggregate", aggregate))

    def reboot(self) -> None:
        """A TPM reset."""
        self.reset_count += 1
        self.restart_count = 0
        self.previous = None
        self.reported = []
        self.boot()

    def resume(self) -> None:
        """A suspend and a resume; told with the next push."""
        self.restart_count += 1
        self.pcrs.update({index: bytes(32) for index in (16, 23)})
        self.tell(TransitionKind.SUSPEND)

    def set_clock(self, ahead_ms: int) -> None:
        """TPM2_ClockSet: the clock alone goes forward, not the time since power-on."""
        self.clock_ms += ahead_ms
        self.clock_set_ms += ahead_ms

    def clear(self) -> None:
        """TPM2_Clear: clock and counters start again; PCRs, time since power-on and endorsement keys stay."""
        self.clock_set_ms -= self.clock_ms
        self.clock_ms, self.reset_count, self.restart_count = 0, 0, 0

    def tell(self, kind: TransitionKind) -> None:
        """Reports a transition with the next push."""
        self.transitions.append(
            Transition(
                kind=kind,
                clock_ms=self.clock_ms + 1,
                reset_count=self.reset_count,
                restart_count=self.restart_count,
            )
        )

    def measure_file(self, log: str, name: str, content: bytes, index: int = 14) -> None:
        """As ``attester-agent measure`` does: log first, then the PCR."""
        described = ApplicationContent(event_type="app.config", name=name, digest=hashlib.sha256(content).digest())
        self.log_record(log, application_record(index, described, (SHA256.tpm_id,), 0))

    def log_record(self, log: str, record: CelRecord) -> None:
        """Any CEL record."""
        self.cel_logs.setdefault(log, []).append(cel_cbor.encode_record(record))
        digest = dict(record.digests).get(SHA256.tpm_id)
        if record.extended and record.pcr is not None and digest is not None:
            self.extend(record.pcr, digest)

    def measure_boot(self, index: int, data: bytes) -> None:
        """One boot event."""
        self.boot_log.append(measured(index, data, banks=(SHA256,)))
        self.extend(index, hashlib.sha256(data).digest())

    def run(self, path: bytes, content: bytes) -> None:
        """Measures one file, as IMA does: list first, then the PCR."""
        self.measure_record(ima_ng(path, content))

    def extend(self, index: int, digest: bytes) -> None:
        """TPM2_PCR_Extend of the SHA-256 bank."""
        self.pcrs[index] = hashlib.sha256(self.pcrs[index] + digest).digest()

    def measure_record(self, record: bytes) -> None:
        """Adds an entry to the IMA list and extends PCR 10."""
        self.ima_list.append(record)
        name_length = struct.unpack_from("<I", record, 24)[0]
        digest = hashlib.sha256(record[28 + name_length + 4 :]).digest()
        self.extend(10, record[4:24].ljust(32, b"\0") if self.pads_sha1 else digest)

    def attest(self, attested: bytes, kind: int, extra_data: bytes) -> tuple[bytes, bytes]:
        """A TPMS_ATTEST by the key, and its TPMT_SIGNATURE."""
        clock = tpm_bytes.clock_bytes(self.clock_ms, self.reset_count, self.restart_count, int(self.safe))
        raw = tpm_bytes.attest_bytes(
            attested, kind=kind, extra_data=extra_data, clock_info=clock, firmware_version=self.firmware_version
        )
        r, s = decode_dss_signature(self.key.sign(raw, ec.ECDSA(hashes.SHA256())))
        parts = tpm_bytes.sized(r.to_bytes(32, "big")) + tpm_bytes.sized(s.to_bytes(32, "big"))
        return raw, bytes.fromhex("0018000b") + parts

    def quote(self, extra_data: bytes) -> tuple[bytes, bytes]:
        """TPM2_Quote of ``selection``."""
        values = b"".join(self.pcrs[index] for _, index in self.selection)
        attested = encode_selection(self.selection) + tpm_bytes.sized(hashlib.sha256(values).digest())
        return self.attest(attested, tpm_bytes.TPM_ST_ATTEST_QUOTE, extra_data)

    def sync_by_quote(self, handle: Handle) -> None:
        """A sync proof that does not say the time since power-on."""
        attest, signature = self.quote(handle.id)
        self.proof = SyncProof(attest=attest, signature=signature)

    def sync(self, handle: Handle) -> None:
        """TPM2_GetTime over a handle."""
        clock = tpm_bytes.clock_bytes(self.clock_ms, self.reset_count, self.restart_count, 1)
        attested = struct.pack(">Q", self.clock_ms - self.clock_set_ms) + clock + bytes(8)
        attest, signature = self.attest(attested, tpm_bytes.TPM_ST_ATTEST_TIME, handle.id)
        self.proof = SyncProof(attest=attest, signature=signature)

    def push(
        self,
        *,
        full: bool | None = None,
        resend: Mapping[str, int] | None = None,
        limits: Mapping[str, int] | None = None,
        claims: Mapping[str, str] | None = None,
        elapsed_ms: int = 1000,
    ) -> Evidence:
        """The next push: everything new, or from ``resend`` on; at most ``limits`` entries of a log."""
        self.clock_ms += elapsed_ms
        self.reported += self.transitions
        full = self.previous is None if full is None else full
        logs = {"tcg2": self.boot_log, "ima": self.ima_list, **self.cel_logs}
        starts = {name: (resend or {}).get(name, self.sent.get(name, 0)) for name in logs}
        increments = {}
        for name, entries in logs.items():
            end = min(len(entries), starts[name] + (limits or {}).get(name, len(entries)))
            if end > starts[name]:
                records = b"".join(entries[starts[name] : end])
                increments[name] = LogIncrement(records=records, total=len(entries))
            self.sent[name] = max(end, starts[name])
        assert self.proof is not None
        body = EvidenceBody(
            ueid=self.ueid,
            sync=self.proof,
            environment=self.public.name,
            sequence=self.sequence,
            previous=None if full else self.previous,
            claims={"kernel": "6.1", **(claims or {})} if full else dict(claims or {}),
            logs=starts,
            increment_digests={
                name: hashlib.sha256(increment.records).digest()
                for name, increment in increments.items()
                if name != "ima"
            },
            transitions=tuple(self.reported[-MAX_TRANSITIONS:] if full else self.transitions),
            sync_stamp=self.sync_stamp,
        )
        self.transitions = []
        quoted = {index: bytes(32) for index in (8, 9) if (SHA256, index) in self.selection}
        return self.sign(body, increments, {SHA256: quoted} if full and quoted else {})

    def sign(self, body: EvidenceBody, increments: Mapping[str, LogIncrement], pcrs: PcrBanks) -> Evidence:
        """Quotes over a body and puts the push together."""
        raw_body = encode_body(body)
        digest = hashlib.sha256(raw_body).digest()
        quote, signature = self.quote(digest)
        self.sequence, self.previous = self.sequence + 1, digest
        return Evidence(
            body=body,
            raw_body=raw_body,
            quote=quote,
            signature=signature,
            unsigned_pcrs=pcrs,
            unsigned_increments=increments,
        )


def _ima_digest(path: bytes, digest: bytes) -> bytes:
    """An ``ima-ng`` entry for a digest."""
    return ima_record(b"ima-ng", b"sha256:\0" + digest, path + b"\0")


GOOD_FILES = {b"/usr/bin/true": b"true", b"/usr/bin/false": b"false", b"/usr/bin/cat": b"cat"}


def make_policy(**changes: object) -> AppraisalPolicy:
    """A policy as the demo has it, but a device in memory runs no agent, so its list need not hold one."""
    values: dict[str, object] = {
        "id": "test",
        "version": 1,
        "pcrs": SELECTION,
        "reference_values": ("good",),
        "deadline_s": 10.0,
        "logs": LogsTable(tcg2=tuple(range(10)), ima=(10,)),
        "ima": NO_AGENT,
        **changes,
    }
    return check_policy(PolicyTable(**values))  # type: ignore[arg-type]  # fields by name


def make_references(device: FakeDevice, **changes: object) -> ReferenceValues:
    """Reference values for the device as it is now, and for the good files."""
    values: dict[str, object] = {
        "name": "good",
        "version": 1,
        "signer": "endorser",
        "not_before_s": 0,
        "not_after_s": 2**40,
        "registers": {SHA256: {index: frozenset({device.pcrs[index]}) for index in range(10)}},
        "files": {hashlib.sha256(content).digest(): path.decode() for path, content in GOOD_FILES.items()},
        **changes,
    }
    return ReferenceValues(**values)  # type: ignore[arg-type]  # fields by name


def make_endorsement(ueid: Ueid, public: TpmPublic) -> Endorsement:
    """An endorser vouches for a key, without an end."""
    return Endorsement(ueid=ueid, attesting_key=public, version=1, signer="endorser", not_before_s=0, not_after_s=2**40)


def make_trust(
    *devices: FakeDevice,
    handles: tuple[Handle, ...] = (),
    policy: AppraisalPolicy | None = None,
    references: tuple[ReferenceValues, ...] | None = None,
) -> Trust:
    """Trust in these devices and handles."""
    policy = policy or make_policy()
    sets = references if references is not None else (make_references(devices[0]),)
    endorsed = {device.ueid: endorsed_key(make_endorsement(device.ueid, device.public)) for device in devices}
    return Trust(
        endorsed=endorsed,
        handles={handle.id: handle for handle in handles},
        policy=policy,
        references=merge_references(policy.reference_values, {each.name: each for each in sets}, T0_US // 1_000_000),
        current=ALWAYS_CURRENT,
    )
