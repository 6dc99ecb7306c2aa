"""The trust objects in force: handles, endorsements, reference values, policies. Owned by the worker's loop thread.

Every object is verified here before it is in force, also when it is read back from the database. An endorsement, a set
of reference values or a policy is never replaced by an older version, nor by another object of the same version
(invariant I10).

The trust in force depends only on the objects, their receipt times and their validity periods. Querying it never
changes it. So an auditor who knows those times from the audit log computes the same trust.

What is in force is what the newest statements of the endorsers list. A statement is never replaced by an older one.
"""

import dataclasses
import hashlib
from collections.abc import Collection, Iterable, Mapping
from typing import Final, assert_never

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from schemas.audit.entry import UNSIGNED_KINDS
from schemas.errors import PeerError
from schemas.identifiers import HandleId, Ueid
from schemas.instants import SECOND_US
from schemas.messages.endorsement import Endorsement
from schemas.messages.handle import Handle, StampVerifier
from schemas.messages.key_scope import KeyScope
from schemas.messages.policy import ALL_GROUPS, SignedPolicy
from schemas.messages.reference_values import ReferenceValues, verify_reference_values
from schemas.messages.trust_objects import TRUST_OBJECTS, TrustedSigners, name_of, verify_object
from schemas.messages.trust_statement import TrustStatement
from schemas.reasons import Reason
from schemas.topics import TopicKind
from verifier_worker.adapters.known_handles import KnownHandles
from verifier_worker.core.policy.in_force import Choice, Policies
from verifier_worker.core.statements import UNSTATED, Current, Statements, least
from verifier_worker.core.trust import EndorsedKey, References, Trust, endorsed_key, merge_references, succeed
from verifier_worker.ports import TrustObjects

_MERGED_KINDS: Final = frozenset({TopicKind.REFERENCE_VALUES, TopicKind.POLICIES})
_FOREVER_US: Final = 2**62
_FOREVER_S: Final = _FOREVER_US // SECOND_US
_MOST_AHEAD_S: Final = 86_400


class TrustStore:
    """Verifies trust objects, keeps the newest of each, and returns those in force as :class:`Trust`."""

    def __init__(
        self,
        store: TrustObjects,
        *,
        endorsers: Mapping[bytes, EllipticCurvePublicKey],
        distributors: Mapping[bytes, EllipticCurvePublicKey],
        stamps: StampVerifier,
        policies: Policies,
        scopes: Mapping[bytes, KeyScope] | None = None,
        on_trial: bool = False,
    ) -> None:
        """Starts empty; :meth:`load` reads what was stored.

        Args:
            store: where accepted objects are kept.
            endorsers: trusted endorsers' keys by ``cose.key_id``.
            distributors: trusted distributors' keys, likewise.
            stamps: verifies the handles' time stamps.
            policies: the appraisal policies in force.
            scopes: of endorsers' keys, by ``cose.key_id``; a key without one may sign everything.
            on_trial: old evidence is tried, without statements: every object counts as current.
        """
        self._store = store
        self.signers = TrustedSigners(
            endorsers=endorsers, distributors=distributors, stamps=stamps, scopes=scopes or {}
        )
        self._statements = Statements(self.signers.scope_of)
        self._newly_withdrawn: set[Ueid] = set()
        self._on_trial = on_trial
        self._policies = policies
        self._handles = KnownHandles()
        self._endorsed: dict[Ueid, EndorsedKey] = {}
        # By SHA-256: kind and key of objects in force or replaced. The broker sends retained ones at every connection.
        self._seen: dict[bytes, tuple[str, bytes]] = {}
        self._current_digests: dict[tuple[str, bytes], bytes] = {}  # SHA-256 of the object in force
        self._references: dict[str, ReferenceValues] = {}
        self._merged: dict[tuple[str, ...], References] = {}  # by the names of their sets: the latest ones
        self._views: dict[tuple[str, bytes], Trust] = {}  # by group and endorser's key
        # The views are used until something changes, or a validity begins or ends.
        self._views_from_s, self._views_until_s = 0, 0
        self._merged_s: int | None = None  # validity periods are applied up to here; None: merge again

    def load(self, now_us: int) -> list[PeerError]:
        """Verifies the stored objects again. Leaves out those that no longer verify, and returns the errors.

        Stored handles are known links of their chains: no gap or fork among them is reported a second time.
        """
        self._store.prune_trust(now_us)
        errors = []
        for kind, raw in self._store.load_trust():
            if kind in UNSIGNED_KINDS:
                continue
            try:
                self._take(kind, None, raw, now_us, ceiling_us=_FOREVER_US)
            except PeerError as error:
                errors.append(error)
        self._handles.remember_chain()
        return errors

    def prune(self, now_us: int) -> None:
        """Forgets handles that no evidence can refer to any more, here and in the store."""
        self._store.prune_trust(now_us)
        self._handles.forget_old(now_us)

    def accept(
        self,
        kind: str,
        name: str | None,
        raw: bytes,
        now_us: int,
        *,
        retained: bool = False,
        received_us: int | None = None,
    ) -> bool:
        """Verifies an object that arrived, and stores it.

        Args:
            kind: one of ``TRUST_OBJECTS``.
            name: last level of the topic; must be the name in the signed object. None if it came on no topic.
            raw: the signed object.
            now_us: the verifier's clock.
            retained: the broker had kept it, so its age is no propagation delay.
            received_us: its receipt as recorded in the audit log, from which it is in force; ``now_us`` by default.

        Returns:
            True if it is new; False if it is in force already.

        Raises:
            PeerError: it does not verify; or ``handle-from-future``, ``handle-expired``, ``handle-not-newer``,
                ``object-rolled-back``, ``object-misdirected``, ``policy-invalid``.
        """
        digest = hashlib.sha256(raw).digest()
        if digest in self._seen and self._current_digests[self._seen[digest]] != digest:
            raise PeerError(Reason.OBJECT_ROLLED_BACK, f"{kind}: a newer version has replaced this one")
        if digest in self._seen or HandleId(digest) in self._handles.by_id:
            return False
        received_us = now_us if received_us is None else received_us
        self._catch_up(received_us)
        listed = self._statements.listed
        key, keep_until_us = self._take(kind, name, raw, now_us, ceiling_us=now_us)
        self._store.save_trust(kind, key, raw, keep_until_us)
        if kind in _MERGED_KINDS or self._statements.listed != listed:
            self._merge(received_us)
        handle = self._handles.by_id.get(HandleId(digest))  # None also if it was the oldest of too many
        if handle is not None:
            self._handles.follow(handle, None if retained else now_us, self._policies.least_grace_us)
        return True

    def assume(self, raw: bytes) -> None:
        """Puts reference values in force as if always valid: for a trial on old evidence.

        Raises:
            PeerError: they do not verify.
        """
        values = verify_reference_values(raw, self.signers.endorsers)
        self._references[values.name] = dataclasses.replace(values, not_before_s=0, not_after_s=_FOREVER_S)
        self._views_until_s, self._merged_s = 0, None

    def trust(self, now_us: int, ueid: Ueid | None = None) -> Trust:
        """The trust in force at ``now_us`` for an attester and its endorsed group; without one, for no group."""
        now_s = now_us // SECOND_US
        self._handles.forget_old(now_us)
        if not self._views_from_s <= now_s < self._views_until_s:  # before: this machine's clock was set back
            self._catch_up(now_us)
            self._views.clear()
            edges = self._edges_s()
            self._views_from_s = max((edge for edge in edges if edge <= now_s), default=-_FOREVER_S)
            self._views_until_s = min((edge for edge in edges if edge > now_s), default=_FOREVER_S)
        key = self._endorsed.get(ueid) if ueid is not None else None
        group, signer = (key.group, key.signer) if key is not None else ("", b"")
        view = self._views.get((group, signer))
        if view is None:
            choice = self._policies.choose(group, now_s, self._statements)
            names = choice.policy.reference_values if choice.policy is not None else ()
            references = self._merged.get(names) or merge_references(names, self._in_force(), now_s)
            view = Trust(
                endorsed=self._endorsed,
                handles=self._handles.by_id,
                policy=choice.policy,
                references=references,
                group=group,
                conflict=choice.conflict,
                missing=choice.missing,
                current=self._current_trust(choice, signer, group),
                statements=self._statements,
                newest=self._handles.newest,
                stamps=self.signers.stamps,
            )
            self._views[group, signer] = view
        return view

    def _current_trust(self, choice: Choice, signer: bytes, group: str) -> Current:
        """The trust in an endorsement, the policy and the policy's sets together."""
        if self._on_trial:
            return Current(_FOREVER_S, _FOREVER_S)
        parts = [self._statements.of_endorsement(signer, group)]
        if choice.current is not None:
            parts.append(choice.current)
        names = choice.policy.reference_values if choice.policy is not None else ()
        parts.extend(self._of_set(name) or UNSTATED for name in names if name in self._references)
        return least(parts)

    def _of_set(self, name: str) -> Current | None:
        digest = self._current_digests[TopicKind.REFERENCE_VALUES, name.encode()]
        return self._statements.of_set(name, self._references[name].version, digest)

    def _in_force(self) -> Mapping[str, ReferenceValues]:
        """The sets that a statement lists; without any statement, all of them."""
        if self._on_trial or not self._statements.any:
            return self._references
        return {name: values for name, values in self._references.items() if self._of_set(name) is not None}

    def newly_withdrawn(self) -> frozenset[Ueid]:
        """Attesters of which a statement since the last call withdraws an endorsement."""
        found = frozenset(self._newly_withdrawn)
        self._newly_withdrawn.clear()
        return found

    def _edges_s(self) -> list[int]:
        """When the trust in force may change."""
        edges = [edge for values in self._references.values() for edge in _edges(values)]
        return [*edges, *self._policies.edges_s()]

    def _catch_up(self, now_us: int) -> None:
        """Merges at every time since the last call at which a validity period began or ended."""
        now_s = now_us // SECOND_US
        if self._merged_s is None or now_s < self._merged_s:
            self._merge(now_us)
            return
        for edge_s in sorted({edge for edge in self._edges_s() if self._merged_s < edge <= now_s}):
            self._merge(edge_s * SECOND_US)
        self._merged_s = now_s

    def _merge(self, now_us: int) -> None:
        """Merges the sets that each policy names. Policies with the same sets share them: a long list is held once."""
        self._merged_s = now_us // SECOND_US
        merged: dict[tuple[str, ...], References] = {}
        in_force = self._in_force()
        for names in self._policies.reference_sets:
            references, before = merge_references(names, in_force, self._merged_s), self._merged.get(names)
            if before is not None and not (before.missing and not before.narrower and not before.ended):
                references = succeed(before, references, now_us)
            merged[names] = references
        self._merged = merged
        self._views_until_s = 0

    @property
    def attesters(self) -> Collection[Ueid]:
        """Attesters with an endorsement, valid in time or not."""
        return self._endorsed.keys()

    def count_valid(self, now_us: int) -> int:
        """How many attesters have an endorsement that is valid at ``now_us`` and not withdrawn."""
        now_s = now_us // SECOND_US
        withdrawal = self._statements.withdrawal
        return sum(
            key.endorsement.is_valid(now_s) and withdrawal(ueid, key.endorsement.version, key.signer, key.group) is None
            for ueid, key in self._endorsed.items()
        )

    @property
    def newest_handle(self) -> Handle | None:
        """The handle with the latest TSA time."""
        return max(self._handles.by_id.values(), key=lambda handle: handle.time_us, default=None)

    @property
    def floor_us(self) -> int:
        """A time that has certainly passed: the earliest possible time of the newest handle; 0 without one."""
        return self._handles.floor_us

    def _take(self, kind: str, name: str | None, raw: bytes, now_us: int, *, ceiling_us: int) -> tuple[bytes, int]:
        """Verifies ``raw`` and puts it in force; returns its key and how long to keep it.

        A version that is more than a day after ``ceiling_us`` is refused.
        """
        if kind not in TRUST_OBJECTS:
            raise PeerError(Reason.MALFORMED, f"{kind[:32]!r}: not a kind of trust object")
        verified, signer = verify_object(kind, raw, self.signers)
        own_name = name_of(verified)
        if name is not None and name != own_name:
            raise PeerError(Reason.OBJECT_MISDIRECTED, f"{kind}: {own_name[:64]} came on the topic of {name[:64]}")
        digest = hashlib.sha256(raw).digest()
        match verified:
            case Handle():
                newest, keep_until_us = self._handles.newest, self._handles.take(verified, now_us)
                if self._handles.newest != newest:
                    self._views = {
                        key: dataclasses.replace(view, newest=self._handles.newest) for key, view in self._views.items()
                    }
                return verified.id, keep_until_us
            case Endorsement():
                key = self._take_endorsement(verified, signer, ceiling_us)
            case ReferenceValues():
                key = self._take_reference_values(verified, ceiling_us)
            case SignedPolicy():
                key = self._take_policy(verified, signer, digest, ceiling_us, stored=name is None)
            case TrustStatement():
                key = self._take_statement(verified, ceiling_us)
            case _:
                assert_never(verified)
        if kind == TopicKind.STATEMENTS:  # its number refuses an older one
            self._seen.pop(self._current_digests.get((kind, key), b""), None)
        self._seen[digest] = kind, key
        self._current_digests[kind, key] = digest
        return key, _FOREVER_US

    def _take_endorsement(self, endorsement: Endorsement, signer: bytes, ceiling_us: int) -> bytes:
        before = self._endorsed.get(endorsement.ueid)
        known = before.endorsement.version if before is not None else None
        _check_version(TopicKind.ENDORSEMENTS, endorsement.version, known, ceiling_us)
        if before is not None:
            self._check_replaces(TopicKind.ENDORSEMENTS, (before.endorsement.group or ALL_GROUPS,), signer)
        self._endorsed[endorsement.ueid] = endorsed_key(endorsement, signer)
        return endorsement.ueid

    def _take_reference_values(self, values: ReferenceValues, ceiling_us: int) -> bytes:
        before = self._references.get(values.name)
        known = before.version if before is not None else None
        _check_version(TopicKind.REFERENCE_VALUES, values.version, known, ceiling_us)
        self._references[values.name] = values
        return values.name.encode()

    def _take_policy(
        self, policy: SignedPolicy, signer: bytes, digest: bytes, ceiling_us: int, *, stored: bool
    ) -> bytes:
        _check_version(TopicKind.POLICIES, policy.version, self._policies.version(policy.id), ceiling_us)
        self._check_replaces(TopicKind.POLICIES, self._policies.groups_of(policy.id), signer)
        self._policies.take(policy, digest, stored=stored)
        return policy.id.encode()

    def _check_replaces(self, kind: TopicKind, groups: Iterable[str], signer: bytes) -> None:
        """A key replaces only an object about groups that it may speak of: it takes no device or policy from others.

        Raises:
            PeerError: ``key-out-of-scope``.
        """
        scope = self.signers.scope_of(signer)
        outside = [group for group in sorted(groups) if not scope.allows_groups((group,))]
        if outside:
            about = ", ".join(outside)[:200]
            raise PeerError(
                Reason.KEY_OUT_OF_SCOPE, f"{kind}: key {signer.hex()} may not replace that of group {about}"
            )

    def _take_statement(self, statement: TrustStatement, ceiling_us: int) -> bytes:
        _check_version(TopicKind.STATEMENTS, max(statement.number, statement.issued_s), None, ceiling_us)
        self._newly_withdrawn |= self._statements.take(statement)
        self._views_until_s = 0
        return statement.key_id


def _check_version(kind: TopicKind, version: int, known: int | None, ceiling_us: int) -> None:
    """Refuses a version that is not newer, or so great that no honest version could ever follow it."""
    if version > ceiling_us // SECOND_US + _MOST_AHEAD_S:
        raise PeerError(Reason.OBJECT_FROM_FUTURE, f"{kind}: version {version} is more than a day ahead of the clock")
    if known is not None and version <= known:
        raise PeerError(Reason.OBJECT_ROLLED_BACK, f"{kind}: version {version}, version {known} is in force")


def _edges(values: ReferenceValues) -> tuple[int, ...]:
    """When the set changes: the validity of the set or of its outgoing values begins or ends."""
    outgoing = () if values.outgoing is None else (values.outgoing.until_s + 1,)
    return values.not_before_s, values.not_after_s + 1, *outgoing
