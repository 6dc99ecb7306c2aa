"""Fakes of everything around the agent: a TPM in software, logs in memory, a spool that forgets, a broker that listens.

:class:`SoftTpm` signs real TPMS_ATTEST bytes with a real P-256 key: what the agent pushes verifies.
"""

import hashlib
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    derive_private_key,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256 as HAZMAT_SHA256

from attester_agent.core.agent_state import AgentState, decode_state, encode_state
from attester_agent.core.evidence_builder import Quote
from attester_agent.core.key_templates import ak_template
from attester_agent.core.log_window import Entries
from attester_agent.ports import Identity, LogRestartedError, PcrLifetime, StoredPush
from schemas.codecs import cmw, cose
from schemas.errors import WorldError
from schemas.hashes import SHA256
from schemas.identifiers import HandleId, Ueid, ueid_from_key
from schemas.media_types import EVIDENCE, HANDLE, Indicator
from schemas.messages.evidence import Evidence, SyncProof, parse_evidence
from schemas.messages.handle import EPOCH_BELL_IMPRINT, HandleClaims, attach_stamp, handle_id, sign_claims
from schemas.reasons import Reason
from schemas.tpm.pcr import PcrSelection, PcrValues, composite_digest, encode_selection, initial_value
from schemas.tpm.public import TpmPublic, parse_public
from tests.builders.token_forge import ForgedAuthority, tst_info
from tests.builders.tpm_bytes import TPM_ST_ATTEST_QUOTE, TPM_ST_ATTEST_TIME, attest_bytes, clock_bytes, sized

FIRMWARE_VERSION = 0x2019_1023_0016_3636


class SoftTpm:
    """``ports.Tpm`` without a TPM. ``before_read`` runs between a quote and the reading of PCRs and logs."""

    def __init__(self, seed: int = 1) -> None:
        self.key = derive_private_key(0xA77E57 + seed, SECP256R1())
        numbers = self.key.public_key().public_numbers()
        x, y = numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big")
        self.public: TpmPublic = parse_public(ak_template(rsa=False)[:-4] + sized(x) + sized(y))
        self.clock = 1000
        self.reset_count = 1
        self.restart_count = 0
        self.pcrs = {index: initial_value(SHA256, index) for index in range(24)}
        self.before_read: Callable[[], None] | None = None
        self.failures: list[WorldError] = []
        self.quotes = 0
        self.syncs = 0

    @property
    def identity(self) -> Identity:
        ueid = ueid_from_key(b"endorsement key of " + self.public.name)
        return Identity(ueid=ueid, public=self.public.raw, environment=self.public.name)

    @property
    def environment(self) -> bytes:
        return self.public.name

    @contextmanager
    def session(self) -> Iterator["SoftTpm"]:
        if self.failures:
            raise self.failures.pop(0)
        yield self

    def extend(self, index: int, digest: bytes) -> None:
        self.pcrs[index] = SHA256.digest(self.pcrs[index] + digest)

    def reboot(self) -> None:
        self.reset_count += 1
        self.restart_count = 0
        self.pcrs = {index: initial_value(SHA256, index) for index in range(24)}

    def sync(self, qualifying_data: bytes) -> SyncProof:
        self.syncs += 1
        info = self._clock_info()
        attested = struct.pack(">Q", 900) + info + struct.pack(">Q", FIRMWARE_VERSION)
        attest = self._attest(attested, TPM_ST_ATTEST_TIME, qualifying_data, info)
        return SyncProof(attest=attest, signature=self._sign(attest))

    def quote(self, qualifying_data: bytes, selection: PcrSelection) -> Quote:
        self.quotes += 1
        digest = composite_digest(selection, PcrValues({SHA256: self.pcrs}), SHA256)
        attested = encode_selection(selection) + sized(digest)
        attest = self._attest(attested, TPM_ST_ATTEST_QUOTE, qualifying_data, self._clock_info())
        if self.before_read is not None:
            self.before_read()
        return Quote(attest=attest, signature=self._sign(attest))

    def read_pcrs(self, selection: PcrSelection) -> PcrValues:
        return PcrValues({SHA256: {index: self.pcrs[index] for _, index in selection}})

    def pcr_lifetime(self) -> PcrLifetime:
        return PcrLifetime(reset_count=self.reset_count, restart_count=self.restart_count)

    def _clock_info(self) -> bytes:
        self.clock += 7
        return clock_bytes(self.clock, self.reset_count, self.restart_count, 1)

    def _attest(self, attested: bytes, kind: int, extra: bytes, info: bytes) -> bytes:
        return attest_bytes(attested, kind=kind, extra_data=extra, clock_info=info, firmware_version=FIRMWARE_VERSION)

    def _sign(self, attest: bytes) -> bytes:
        r, s = decode_dss_signature(self.key.sign(attest, ECDSA(HAZMAT_SHA256())))
        parts = sized(r.to_bytes(32, "big")) + sized(s.to_bytes(32, "big"))
        return struct.pack(">HH", 0x0018, SHA256.tpm_id) + parts


@dataclass
class MemoryLog:
    """``ports.MeasurementLog`` in memory. Written by :meth:`measure`, which extends the TPM as the kernel does."""

    name: str = "ima"
    records: list[bytes] = field(default_factory=list)
    exists: bool = True
    failure: WorldError | None = None
    replaced: bool = False
    seen: int = 0
    is_lost_on_resume: bool = False

    def measure(self, tpm: SoftTpm, record: bytes, digest: bytes, index: int = 10) -> None:
        self.records.append(record)
        tpm.extend(index, digest)

    def is_current(self, lifetime: PcrLifetime) -> bool:
        del lifetime
        return True

    def has_grown(self) -> bool:
        return len(self.records) > self.seen

    def read(self, start: int) -> Entries:
        if self.failure is not None:
            raise self.failure
        if self.replaced:
            raise LogRestartedError(Reason.LOG_UNREADABLE, "replaced")
        self.seen = len(self.records)
        return Entries(start=start, records=tuple(self.records[start:]))

    def restart(self) -> None:
        self.replaced = False
        self.seen = 0


class MemorySpool:
    """``ports.Spool`` in memory. The state goes through its codec, as on disk."""

    def __init__(self, *, max_bytes: int = 1 << 20) -> None:
        self.max_bytes = max_bytes
        self.raw_state: bytes | None = None
        self.pushes: dict[int, bytes] = {}
        self.next_number = 1
        self.failures: list[WorldError] = []

    @property
    def queued_messages(self) -> int:
        return len(self.pushes)

    @property
    def queued_bytes(self) -> int:
        return sum(map(len, self.pushes.values()))

    def load(self) -> AgentState | None:
        return None if self.raw_state is None else decode_state(self.raw_state)

    def save(self, state: AgentState) -> None:
        self._may_fail()
        self.raw_state = encode_state(state)

    def fits(self, size: int) -> bool:
        return sum(map(len, self.pushes.values())) + size <= self.max_bytes

    def add(self, state: AgentState, payload: bytes) -> None:
        self._may_fail()
        self.raw_state = encode_state(state)
        self.pushes[self.next_number] = payload
        self.next_number += 1

    def clear(self, state: AgentState) -> None:
        self._may_fail()
        self.raw_state = encode_state(state)
        self.pushes.clear()

    def waiting(self, after: int, limit: int) -> Sequence[StoredPush]:
        numbers = [number for number in sorted(self.pushes) if number > after][:limit]
        return [StoredPush(number=number, payload=self.pushes[number]) for number in numbers]

    def remove(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            with suppress(KeyError):
                del self.pushes[number]

    def _may_fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)


@dataclass
class Broker:
    """``ports.Transport`` that keeps what it is given; packet ids count from 1."""

    is_connected: bool = True
    published: list[tuple[str, bytes]] = field(default_factory=list)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, expiry_s: int | None = None) -> int | None:
        if not self.is_connected:
            return None
        self.published.append((topic, payload))
        return len(self.published)

    @property
    def evidence(self) -> list[Evidence]:
        return [read_payload(payload) for topic, payload in self.published if "/evidence/" in topic]


def read_payload(payload: bytes) -> Evidence:
    return parse_evidence(cmw.unwrap(payload, EVIDENCE, Indicator.EVIDENCE))


Stamper = Callable[[bytes, int], bytes]
"""Imprint and time (ignored by a TSA with its own clock) to a time-stamp token."""


class HandleMint:
    """A distributor and its TSA: handles of any time, each the next of one chain."""

    def __init__(
        self,
        stamp: Stamper | None = None,
        *,
        issuer: str = "distributor-1",
        authority: ForgedAuthority | None = None,
    ) -> None:
        self.issuer = issuer
        self.authority = authority or ForgedAuthority.make()
        self.stamp = stamp or self.authority.token
        self.key: EllipticCurvePrivateKey = generate_private_key(SECP256R1())
        self.previous: HandleId | None = None

    @property
    def keys(self) -> dict[bytes, EllipticCurvePublicKey]:
        return {cose.key_id(self.key.public_key()): self.key.public_key()}

    def raw(self, time_us: int, *, lifetime_s: int = 600) -> bytes:
        """The COSE bytes of a handle stamped at ``time_us``."""
        claims = HandleClaims(
            issuer=self.issuer,
            not_before_s=time_us // 1_000_000,
            expires_s=time_us // 1_000_000 + lifetime_s,
            nonce=hashlib.sha256(time_us.to_bytes(8, "big")).digest(),
            epoch_marker=tst_info(EPOCH_BELL_IMPRINT, time_us),
            previous=self.previous,
        )
        signed = sign_claims(claims, self.key)
        raw = attach_stamp(signed, self.stamp(cose.ctt_imprint(signed), time_us))
        self.previous = handle_id(raw)
        return raw

    def payload(self, time_us: int, *, lifetime_s: int = 600) -> bytes:
        """What is published."""
        return cmw.wrap(HANDLE, self.raw(time_us, lifetime_s=lifetime_s), Indicator.HANDLE)


def state_of(tpm: SoftTpm) -> AgentState:
    """The state of an agent that has never pushed."""
    return AgentState(ueid=tpm.identity.ueid, environment=tpm.environment)


OTHER_UEID = Ueid(b"\x01" + b"other" * 6 + b"xx")
