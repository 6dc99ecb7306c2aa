"""A verifier without a broker: real trust store, worker, database, audit file; handles by real keys and stamps.

Its clock is :attr:`Verifying.now_us`, which moves only when told. Order of effects as in ``verifier_worker.service``.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey, generate_private_key

from runtime.audit_log.frames import FrameFile
from runtime.time_stamps.verifier import TimeStampVerifier
from schemas import media_types
from schemas.audit.entry import ObjectEntry
from schemas.codecs import cmw, cose, jws
from schemas.identifiers import Ueid, ueid_text
from schemas.media_types import Indicator
from schemas.messages.endorsement import Endorsement, sign_endorsement
from schemas.messages.evidence import Evidence, encode_evidence
from schemas.messages.handle import Handle, verify_handle
from schemas.messages.policy import SignedPolicy, claimed_groups
from schemas.messages.reference_values import ReferenceValues, sign_reference_values
from schemas.messages.result import AttestationResult, from_claims
from schemas.messages.trust_objects import TRUST_OBJECTS, name_of
from schemas.messages.trust_statement import Listed, TrustStatement, Withdrawal, sign_statement
from schemas.topics import TopicKind, Topics
from tests.fakes.attester import HandleMint
from tests.fakes.verifier import FakePublisher
from tests.worlds.device import T0_US, FakeDevice, make_endorsement, make_policy, make_references
from verifier_worker.adapters.loaded_files import compile_policy
from verifier_worker.adapters.receipt_clock import ReceiptClock
from verifier_worker.adapters.solicitor import Identity
from verifier_worker.adapters.state_store import SqliteStateStore
from verifier_worker.adapters.trust_store import TrustStore
from verifier_worker.core.policy.in_force import Policies
from verifier_worker.worker import Received, Worker

ISSUER = "distributor-1"
# A real worker records objects of all kinds. Most tests are not about the others.
RECORDED: frozenset[str] = frozenset({TopicKind.HANDLES, TopicKind.ENDORSEMENTS})


class Verifying:
    """One verifier, one endorsed device, one distributor."""

    def __init__(
        self,
        folder: Path,
        *,
        mint: HandleMint | None = None,
        others: Sequence[HandleMint] = (),
        recorded: frozenset[str] = RECORDED,
        held_back: bool = False,
    ) -> None:
        self.folder, self.recorded = folder, recorded
        self.now_us = T0_US
        self.device, self.mint = FakeDevice(), mint or HandleMint()
        self.others = tuple(others)
        self.endorser, self.key = generate_private_key(SECP256R1()), generate_private_key(SECP256R1())
        self.stamps = TimeStampVerifier(self.mint.authority.root.pem)
        self.policy = make_policy()
        self._open()
        self._listed: dict[str, dict[str, Listed]] = {TopicKind.REFERENCE_VALUES: {}, TopicKind.POLICIES: {}}
        self._groups: dict[str, str] = {}
        self._stated_s = 0
        self.held_back = held_back  # somebody holds the endorser's statements back
        values = sign_reference_values(make_references(self.device), self.endorser)
        self.take(TopicKind.REFERENCE_VALUES, "good", values)
        vouched = make_endorsement(self.device.ueid, self.device.public)
        self.take(
            TopicKind.ENDORSEMENTS,
            ueid_text(self.device.ueid),
            sign_endorsement(vouched, self.device.raw_public, self.endorser),
        )

    @property
    def audit_file(self) -> Path:
        return self.folder / "audit.log"

    @property
    def endorsers(self) -> dict[bytes, EllipticCurvePublicKey]:
        return {cose.key_id(self.endorser.public_key()): self.endorser.public_key()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()
        self.audit.close()

    def _open(self) -> None:
        self.store = SqliteStateStore(self.folder / "state.db")
        pending = [item.number for item in self.store.pending() if item.audit is not None]
        self.audit = FrameFile(self.audit_file, repeated_from=min(pending, default=None))
        self.publisher, self.receipts = FakePublisher(), ReceiptClock()
        distributors = dict(self.mint.keys)
        for other in self.others:
            distributors |= other.keys
        policies = Policies(self.policy, compile_policy)
        self.trust = TrustStore(
            self.store,
            endorsers=self.endorsers,
            distributors=distributors,
            stamps=self.stamps,
            policies=policies,
        )
        self.worker = Worker(
            Identity(name="v1", key=self.key, topics=Topics()),
            self.store,
            self.audit,
            self.publisher,
            trust=self.trust.trust,
            solicit_interval_s=3600,
            cached_states=100,
        )
        assert self.trust.load(self.now_us) == []

    def restart(self) -> None:
        """Kill -9, and another start."""
        self.store.close()
        self.audit.close()
        self._open()

    def take(self, kind: str, name: str, raw: bytes, *, retained: bool = False) -> bool:
        """A trust object arrives; raises what refuses it."""
        is_new = self.trust.accept(kind, name, raw, self.now_us, retained=retained)
        if is_new:
            entry = ObjectEntry(received_us=self.receipt_us(), kind=kind, raw=raw)
            self.worker.record([entry] if kind in self.recorded else [])
            self.worker.settle()
            self.note_in_force(kind, raw)
        return is_new

    def statement(self, withdrawn: Mapping[Ueid, Withdrawal] | None = None, **changes: object) -> bytes:
        """What the endorser states now: every set and policy that the verifier has taken is in force."""
        self._stated_s = max(self.now_us // 1_000_000, self._stated_s + 1)
        statement = TrustStatement(
            issuer="endorser",
            number=self._stated_s,
            issued_s=self.now_us // 1_000_000,
            not_after_s=self._stated_s + 31 * 86_400,
            policies=self._listed[TopicKind.POLICIES],
            groups=self._groups,
            reference_values=self._listed[TopicKind.REFERENCE_VALUES],
            withdrawn=withdrawn or {},
        )
        return sign_statement(replace(statement, **changes), self.endorser)  # type: ignore[arg-type]  # by name

    def state(self, withdrawn: Mapping[Ueid, Withdrawal] | None = None, **changes: object) -> None:
        """A statement arrives."""
        raw = self.statement(withdrawn, **changes)
        self.take(TopicKind.STATEMENTS, cose.key_id(self.endorser.public_key()).hex(), raw)
        self.worker.withdraw(sorted(self.trust.newly_withdrawn()), self.receipt_us())
        self.worker.settle()

    def note_in_force(self, kind: str, raw: bytes) -> None:
        """What is taken is in force from the next statement on."""
        verified = TRUST_OBJECTS[kind].verify(raw, self.trust.signers)
        if isinstance(verified, SignedPolicy | ReferenceValues):
            self._listed[kind][name_of(verified)] = Listed(verified.version, hashlib.sha256(raw).digest())
        if isinstance(verified, SignedPolicy):
            self._groups = {group: policy for group, policy in self._groups.items() if policy != verified.id}
            self._groups |= dict.fromkeys(claimed_groups(verified.text), verified.id)
        if isinstance(verified, SignedPolicy | ReferenceValues | Endorsement) and not self.held_back:
            self.state()

    def withdraw(self, kind: str, name: str) -> None:
        """The endorser states that a policy or a set is not in force any more."""
        del self._listed[kind][name]
        self._groups = {group: policy for group, policy in self._groups.items() if policy != name}
        self.state()

    def take_handle(self, raw: bytes, *, retained: bool = False) -> bool:
        return self.take(TopicKind.HANDLES, ISSUER, raw, retained=retained)

    def new_handle(self) -> Handle:
        """Stamped now, heard at once."""
        if self.now_us // 1_000_000 > self._stated_s + 3600 and not self.held_back:
            self.state()
        raw = self.mint.raw(self.now_us)
        self.take_handle(raw)
        return self.verified(raw)

    def verified(self, raw: bytes) -> Handle:
        return verify_handle(raw, self.mint.keys, self.stamps)

    def receipt_us(self) -> int:
        return self.receipts.next_us(self.now_us, self.trust.floor_us)

    def pass_s(self, seconds: float) -> None:
        """Time passes, for the verifier and for the device's TPM."""
        self.now_us += round(seconds * 1_000_000)
        self.device.clock_ms += round(seconds * 1000)

    def receive(self, evidence: Evidence) -> AttestationResult:
        """A push arrives; the result about it."""
        payload = cmw.wrap(media_types.EVIDENCE, encode_evidence(evidence), Indicator.EVIDENCE)
        name = ueid_text(self.device.ueid)
        self.worker.process([Received(ueid_text=name, payload=payload, received_us=self.receipt_us())])
        self.worker.settle()
        return self.results[-1]

    def push(self) -> AttestationResult:
        """The device pushes, and the verifier receives at once."""
        return self.receive(self.device.push(elapsed_ms=1))

    @property
    def results(self) -> list[AttestationResult]:
        """All since the last start, verified."""
        key = self.key.public_key()
        tokens = self.publisher.on(ueid_text(self.device.ueid), "results")
        unwrapped = (cmw.unwrap(token, media_types.RESULT, Indicator.ATTESTATION_RESULTS) for token in tokens)
        return [from_claims(jws.verify(token, {cose.key_id(key).hex(): key})) for token in unwrapped]
