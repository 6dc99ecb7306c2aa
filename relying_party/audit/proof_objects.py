"""Verifies the entries of a proof in the order of the audit log, each by the entries before it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from relying_party.audit.proof_policy import PolicyFacts, policy_facts, policy_table
from relying_party.audit.time_audit import TimeAudit, TimeTrust
from schemas import media_types
from schemas.audit.anchors import Anchors, Start, keys_by_id, parse_anchors, parse_start
from schemas.audit.entry import EvidenceEntry, ObjectEntry, parse_entry
from schemas.codecs import cmw
from schemas.errors import PeerError
from schemas.identifiers import HandleId, Ueid
from schemas.media_types import Indicator
from schemas.messages.endorsement import Endorsement, verify_endorsement
from schemas.messages.evidence import Evidence, parse_evidence
from schemas.messages.handle import Handle, StampVerifier, verify_handle
from schemas.messages.policy import MAX_POLICY_CHARACTERS, SignedPolicy, verify_policy
from schemas.messages.reference_values import ReferenceValues, verify_reference_values
from schemas.messages.result import AttestationResult
from schemas.reasons import Reason
from schemas.time_model import MAX_DRIFT_PPM
from schemas.topics import TopicKind
from schemas.tpm.attest import Attest, parse_attest

Keys = Mapping[bytes, EllipticCurvePublicKey]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedBy:
    """What was in force for one result.

    Attributes:
        policies: by label.
        texts: of these policies.
        references: the sets that these policies name.
    """

    policies: Mapping[str, PolicyFacts]
    texts: Mapping[str, str]
    references: tuple[ReferenceValues, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """One push of the device.

    Attributes:
        index: of its entry.
        received_us: receipt time by the verifier's clock.
        evidence: parsed.
        quote, sync: parsed; authentic once :meth:`ProofObjects.check_times` has returned.
        token: the result about it; None if it was refused.
        handle: that the sync proof signs.
        after_us: lower bound for the time of its quote; None without one.
        policies: texts of the policies before it, by label.
        references: reference values before it, by name.
    """

    index: int
    received_us: int
    evidence: Evidence
    quote: Attest
    sync: Attest
    token: bytes | None
    handle: HandleId
    after_us: int | None
    policies: Mapping[str, str]
    references: Mapping[str, ReferenceValues]

    def judged_by(self, result: AttestationResult) -> JudgedBy:
        """The policies and reference values by which a result says that it judged.

        Raises:
            PeerError: ``audit-proof-invalid``: the proof does not hold them, or holds another version of a set.
        """
        for label in result.policies:
            if label not in self.policies:
                raise _invalid(f"its result names policy {label}, which the proof does not hold")
        texts = {label: self.policies[label] for label in result.policies}
        policies = {label: policy_facts(text) for label, text in texts.items()}
        names = {name for policy in policies.values() for name in policy.references}
        if names - self.references.keys():
            absent = ", ".join(sorted(names - self.references.keys()))
            raise _invalid(f"the proof does not hold the reference values {absent}")
        references = tuple(values for name, values in sorted(self.references.items()) if name in names)
        held = {f"{values.name}/{values.version}" for values in references}
        stated = {label.removesuffix("+") for label in result.reference_values}
        if stated and stated != held:
            raise _invalid(
                f"its result was judged by the reference values {', '.join(sorted(stated))}; the proof holds "
                f"{', '.join(sorted(held)) or 'none'}"
            )
        return JudgedBy(policies=policies, texts=texts, references=references)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaterResult:
    """A result that came without a push: a handle arrived, or a deadline passed."""

    index: int
    token: bytes


def _invalid(detail: str) -> PeerError:
    return PeerError(Reason.AUDIT_PROOF_INVALID, detail)


class ProofObjects:
    """Takes a proof's entries in their order. Owned by one thread.

    Attributes:
        pushes: of the device, in order.
        later: results about the device without a push, in order.
        receipts: when the verifier received each policy and set of reference values, by label.
        handles: verified, by id.
        endorsements: of the device, verified.
        signed_policies: verified.
        local_policies: texts of unsigned policies.
        reference_sets: verified.
    """

    def __init__(
        self,
        ueid: Ueid,
        stamps: StampVerifier,
        endorsers: Keys | None,
        distributors: Keys | None,
        verifiers: Keys | None,
    ) -> None:
        """Starts empty; keys that are None are taken from the anchors in the proof."""
        self._ueid, self._stamps = ueid, stamps
        self._pinned = endorsers, distributors, verifiers
        self._raw: list[tuple[int, bytes]] = []
        self._anchors: list[Anchors] = []
        self._starts: list[Start] = []
        self._digests: set[bytes] = set()
        self._policies: dict[str, str] = {}
        self._references: dict[str, ReferenceValues] = {}
        self.pushes: list[Push] = []
        self.later: list[LaterResult] = []
        self.receipts: dict[str, int] = {}
        self.handles: dict[HandleId, Handle] = {}
        self.endorsements: list[Endorsement] = []
        self.signed_policies: list[SignedPolicy] = []
        self.local_policies: list[str] = []
        self.reference_sets: list[ReferenceValues] = []

    @property
    def anchors(self) -> tuple[Anchors, ...]:
        """The verifier's own statements about its keys and the keys that it trusts."""
        return tuple(self._anchors)

    @property
    def endorsers(self) -> Keys:
        """Keys that verify endorsements, reference values and policies."""
        return self._pinned[0] or keys_by_id(key for each in self._anchors[-1:] for key in each.endorsers)

    @property
    def distributors(self) -> Keys:
        """Keys that verify handles."""
        return self._pinned[1] or keys_by_id(key for each in self._anchors[-1:] for key in each.distributors)

    @property
    def verifiers(self) -> Keys:
        """Keys that verify results: of all anchors entries, since a key may have been rolled over."""
        return self._pinned[2] or keys_by_id(each.key for each in self._anchors)

    @property
    def drift_ppm(self) -> int:
        """The widest bound on the device's clock in these policies; TPM 2.0's bound for a policy without one."""
        texts = {text for push in self.pushes for text in push.policies.values()}
        return max((policy_facts(text).drift_ppm for text in texts), default=MAX_DRIFT_PPM)

    def take(self, index: int, raw: bytes) -> None:
        """Verifies the next entry.

        Raises:
            PeerError: it does not verify, or does not belong in a proof; names its index.
        """
        self._raw.append((index, raw))
        try:
            entry = parse_entry(raw)
            if isinstance(entry, ObjectEntry):
                self._take_object(entry)
            else:
                self._take_evidence(index, entry)
        except PeerError as error:
            raise PeerError(error.reason, f"entry {index}: {error.detail}") from error

    def check_times(self) -> None:
        """Verifies quotes and sync proofs of all pushes and finds their lower bounds.

        Raises:
            PeerError: ``audit-proof-invalid``: a check failed; names the index.
        """
        trust = TimeTrust(
            distributors=self._pinned[1] or keys_by_id(key for each in self._anchors for key in each.distributors),
            stamps=self._stamps,
            endorsers=self._pinned[0] or keys_by_id(key for each in self._anchors for key in each.endorsers),
            drift_ppm=self.drift_ppm,
        )
        audit = TimeAudit(trust)
        for index, raw in self._raw:
            audit.read(index, raw)
        rows = audit.rows()
        for row in rows:
            if row.problems:
                raise PeerError(Reason.AUDIT_PROOF_INVALID, f"entry {row.number}: {row.problems[0]}")
        after_us = {row.number: row.after_us for row in rows}
        self.pushes = [replace(push, after_us=after_us.get(push.index)) for push in self.pushes]

    def _take_object(self, entry: ObjectEntry) -> None:
        raw = entry.raw
        match entry.kind:
            case "anchors":
                self._anchors.append(parse_anchors(raw))
            case "start":
                self._starts.append(parse_start(raw))
            case "local-policy":
                self._take_local_policy(raw, entry.received_us)
            case TopicKind.HANDLES:
                handle = verify_handle(raw, self.distributors, self._stamps)
                self.handles[handle.id] = handle
            case TopicKind.ENDORSEMENTS:
                self._take_endorsement(verify_endorsement(raw, self.endorsers))
            case TopicKind.POLICIES:
                policy = verify_policy(raw, self.endorsers)
                self.signed_policies.append(policy)
                self.receipts[f"{policy.id}/{policy.version}"] = entry.received_us
                # One version of a policy at a time: a new one replaces it.
                kept = {name: text for name, text in self._policies.items() if name.rpartition("/")[0] != policy.id}
                self._policies = {**kept, f"{policy.id}/{policy.version}": policy.text}
            case _:
                values = verify_reference_values(raw, self.endorsers)
                self.reference_sets.append(values)
                self.receipts[f"{values.name}/{values.version}"] = entry.received_us
                self._references[values.name] = values

    def _take_local_policy(self, raw: bytes, received_us: int) -> None:
        if len(raw) > 4 * MAX_POLICY_CHARACTERS:
            raise PeerError(Reason.TOO_LARGE, f"policy: {len(raw)} bytes")
        text = raw.decode("utf-8", "replace")
        table = policy_table(text)
        self.local_policies.append(text)
        label = f"{table.get('id')}/{table.get('version', 0)}"
        if self._policies.get(label) != text:  # else the verifier was restarted
            self.receipts[label] = received_us
        self._policies[label] = text

    def _take_endorsement(self, endorsement: Endorsement) -> None:
        if endorsement.ueid != self._ueid:
            raise _invalid("an endorsement of another device")
        self.endorsements.append(endorsement)

    def _take_evidence(self, index: int, entry: EvidenceEntry) -> None:
        if entry.ueid != self._ueid or entry.result is None:
            raise _invalid("not an accepted message of the device asked about")
        if entry.payload is None:
            self.later.append(LaterResult(index=index, token=entry.result))
            return
        evidence = parse_evidence(cmw.unwrap(entry.payload, media_types.EVIDENCE, Indicator.EVIDENCE))
        quote, sync = parse_attest(evidence.quote), parse_attest(evidence.body.sync.attest)
        self.pushes.append(
            Push(
                index=index,
                received_us=entry.received_us,
                evidence=evidence,
                quote=quote,
                sync=sync,
                token=entry.result,
                handle=HandleId(sync.extra_data),
                after_us=None,
                policies=dict(self._policies),
                references=dict(self._references),
            )
        )
