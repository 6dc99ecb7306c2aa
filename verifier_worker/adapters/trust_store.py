"""The trust objects in force: handles, endorsements, reference values, policies. Owned by the worker's loop thread.

Every object is verified here before it is in force, also when it is read back from the database. An endorsement, a set
of reference values or a policy is never replaced by an older version, nor by another object of the same version
(invariant I10).

The trust in force depends only on the objects, their receipt times and their validity periods. Querying it never
changes it. So an auditor who knows those times from the audit log computes the same trust.

Handles are followed along their distributor's chain. A gap or a fork is logged and counted, and refuses nothing:
:mod:`schemas.messages.handle_chain` explains why.
"""

import dataclasses
import hashlib
from collections.abc import Collection, Mapping
from typing import Final, assert_never

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from prometheus_client import Histogram

from runtime.handle_chain_watch import ChainWatch
from runtime.telemetry import Logger
from schemas.audit.entry import UNSIGNED_KINDS
from schemas.errors import PeerError
from schemas.identifiers import HandleId, Ueid
from schemas.instants import SECOND_US
from schemas.messages.endorsement import Endorsement
from schemas.messages.handle import Handle, StampVerifier
from schemas.messages.policy import SignedPolicy
from schemas.messages.reference_values import ReferenceValues, verify_reference_values
from schemas.messages.trust_objects import TRUST_OBJECTS, TrustedSigners, name_of
from schemas.reasons import Reason
from schemas.topics import TopicKind
from verifier_worker.core.policy.in_force import Policies
from verifier_worker.core.trust import EndorsedKey, References, Trust, endorsed_key, merge_references, succeed
from verifier_worker.ports import TrustObjects

_MERGED_KINDS: Final = frozenset({TopicKind.REFERENCE_VALUES, TopicKind.POLICIES})
_FOREVER_US: Final = 2**62
_FOREVER_S: Final = _FOREVER_US // SECOND_US
_HANDLE_KEPT_US: Final = 86_400 * SECOND_US  # after expiry: makes late evidence stale, not pending
_MAX_SKEW_US: Final = 10 * SECOND_US
_MAX_HANDLES: Final = 10_000
_LOG: Final = Logger("verifier")
_MAX_ENCODINGS: Final = 4  # a stamp's certificates have many encodings (ADR 3); a distributor sends one

PROPAGATION_SECONDS: Final = Histogram(
    "attestream_handle_propagation_seconds",
    "Time from a handle's stamp to its receipt; retained handles excluded",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600),
)


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
    ) -> None:
        """Starts empty; :meth:`load` reads what was stored.

        Args:
            store: where accepted objects are kept.
            endorsers: trusted endorsers' keys by ``cose.key_id``.
            distributors: trusted distributors' keys, likewise.
            stamps: verifies the handles' time stamps.
            policies: the appraisal policies in force.
        """
        self._store = store
        self._signers = TrustedSigners(endorsers=endorsers, distributors=distributors, stamps=stamps)
        self._policies = policies
        self._handles: dict[HandleId, Handle] = {}
        self._encodings: dict[tuple[str, bytes], int] = {}
        self._chain = ChainWatch(_LOG)
        self._floor_us = 0
        self._endorsed: dict[Ueid, EndorsedKey] = {}
        # By SHA-256: kind and key of objects in force or replaced. The broker sends retained ones at every connection.
        self._seen: dict[bytes, tuple[str, bytes]] = {}
        self._current: dict[tuple[str, bytes], bytes] = {}  # SHA-256 of the object in force
        self._references: dict[str, ReferenceValues] = {}
        self._merged: dict[tuple[str, ...], References] = {}  # by the names of their sets: the latest ones
        self._views: dict[str, Trust] = {}  # by group, until something changes or a validity begins or ends
        self._newest: HandleId | None = None
        self._views_from_s, self._views_until_s = 0, 0
        self._merged_s: int | None = None  # validity periods are applied up to here; None: merge again
        self._handles_until_us = _FOREVER_US  # no handle is forgotten before

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
                self._take(kind, None, raw, now_us)
            except PeerError as error:
                errors.append(error)
        self._chain.remember(self._handles.values())
        return errors

    def prune(self, now_us: int) -> None:
        """Forgets handles that no evidence can refer to any more, here and in the store."""
        self._store.prune_trust(now_us)
        self._forget_handles(now_us)

    def _forget_handles(self, now_us: int) -> None:
        for handle in [each for each in self._handles.values() if each.expires_us + _HANDLE_KEPT_US < now_us]:
            self._forget(handle)
        ends = (each.expires_us + _HANDLE_KEPT_US for each in self._handles.values())
        self._handles_until_us = min(ends, default=_FOREVER_US)

    def _forget(self, handle: Handle) -> None:
        del self._handles[handle.id]
        self._encodings.pop((handle.claims.issuer, handle.claims.nonce), None)

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
        if digest in self._seen and self._current[self._seen[digest]] != digest:
            raise PeerError(Reason.OBJECT_ROLLED_BACK, f"{kind}: a newer version has replaced this one")
        if digest in self._seen or HandleId(digest) in self._handles:
            return False
        received_us = now_us if received_us is None else received_us
        self._catch_up(received_us)
        key, keep_until_us = self._take(kind, name, raw, now_us)
        self._store.save_trust(kind, key, raw, keep_until_us)
        if kind in _MERGED_KINDS:
            self._merge(received_us)
        handle = self._handles.get(HandleId(digest))  # None also if it was the oldest of too many
        if handle is not None:
            self._follow(handle, None if retained else now_us)
        return True

    def assume(self, raw: bytes) -> None:
        """Puts reference values in force as if always valid: for a trial on old evidence.

        Raises:
            PeerError: they do not verify.
        """
        values = verify_reference_values(raw, self._signers.endorsers)
        self._references[values.name] = dataclasses.replace(values, not_before_s=0, not_after_s=_FOREVER_S)
        self._views_until_s, self._merged_s = 0, None

    def _follow(self, handle: Handle, received_us: int | None) -> None:
        """Reports a gap or fork in the chain of a new handle, and its propagation delay if that is too long."""
        self._chain.follow(handle)
        if received_us is None:
            return
        delay_us, grace_us = received_us - handle.time_us, self._policies.least_grace_us
        PROPAGATION_SECONDS.observe(max(0, delay_us) / SECOND_US)
        if grace_us is not None and delay_us > grace_us:
            _LOG.warning(
                "handle-late",
                issuer=handle.claims.issuer,
                delay_s=delay_us / SECOND_US,
                grace_s=grace_us / SECOND_US,
                next="the policy's grace_s must be at least the longest propagation delay (REIM 7.2.1)",
            )

    def trust(self, now_us: int, ueid: Ueid | None = None) -> Trust:
        """The trust in force at ``now_us`` for an attester and its endorsed group; without one, for no group."""
        now_s = now_us // SECOND_US
        if now_us > self._handles_until_us:
            self._forget_handles(now_us)
        if not self._views_from_s <= now_s < self._views_until_s:  # before: this machine's clock was set back
            self._catch_up(now_us)
            self._views.clear()
            edges = self._edges_s()
            self._views_from_s = max((edge for edge in edges if edge <= now_s), default=-_FOREVER_S)
            self._views_until_s = min((edge for edge in edges if edge > now_s), default=_FOREVER_S)
        key = self._endorsed.get(ueid) if ueid is not None else None
        group = (key.endorsement.group or "") if key is not None else ""
        view = self._views.get(group)
        if view is None:
            choice = self._policies.choose(group, now_s)
            names = choice.policy.reference_values if choice.policy is not None else ()
            references = self._merged.get(names) or merge_references(names, self._references, now_s)
            view = Trust(
                endorsed=self._endorsed,
                handles=self._handles,
                policy=choice.policy,
                references=references,
                group=group,
                conflict=choice.conflict,
                newest=self._newest,
                stamps=self._signers.stamps,
            )
            self._views[group] = view
        return view

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
        for names in self._policies.reference_sets:
            references, before = merge_references(names, self._references, self._merged_s), self._merged.get(names)
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
        """How many attesters have an endorsement that is valid at ``now_us``; a revoked one is not."""
        now_s = now_us // SECOND_US
        return sum(key.endorsement.is_valid(now_s) for key in self._endorsed.values())

    @property
    def newest_handle(self) -> Handle | None:
        """The handle with the latest TSA time."""
        return max(self._handles.values(), key=lambda handle: handle.time_us, default=None)

    @property
    def floor_us(self) -> int:
        """A time that has certainly passed: the earliest possible time of the newest handle; 0 without one."""
        return self._floor_us

    def _take(self, kind: str, name: str | None, raw: bytes, now_us: int) -> tuple[bytes, int]:
        """Verifies ``raw`` and puts it in force; returns its key and how long to keep it."""
        if kind not in TRUST_OBJECTS:
            raise PeerError(Reason.MALFORMED, f"{kind[:32]!r}: not a kind of trust object")
        verified = TRUST_OBJECTS[kind].verify(raw, self._signers)
        own_name = name_of(verified)
        if name is not None and name != own_name:
            raise PeerError(Reason.OBJECT_MISDIRECTED, f"{kind}: {own_name[:64]} came on the topic of {name[:64]}")
        match verified:
            case Handle():
                return self._take_handle(verified, now_us)
            case Endorsement():
                key = self._take_endorsement(verified)
            case ReferenceValues():
                key = self._take_reference_values(verified)
            case SignedPolicy():
                key = self._take_policy(verified, stored=name is None)
            case _:
                assert_never(verified)
        digest = hashlib.sha256(raw).digest()
        self._seen[digest] = kind, key
        self._current[kind, key] = digest
        return key, _FOREVER_US

    def _take_handle(self, handle: Handle, now_us: int) -> tuple[bytes, int]:
        keep_until_us = handle.expires_us + _HANDLE_KEPT_US
        if handle.earliest_us > now_us + _MAX_SKEW_US:
            raise PeerError(Reason.HANDLE_FROM_FUTURE, "handle: the TSA's time is ahead of this machine's clock")
        if keep_until_us < now_us:
            raise PeerError(Reason.HANDLE_EXPIRED, "handle: expired more than a day ago")
        signed = (handle.claims.issuer, handle.claims.nonce)
        if self._encodings.get(signed, 0) >= _MAX_ENCODINGS:
            raise PeerError(
                Reason.HANDLE_NOT_NEWER, f"handle: one more encoding of a handle with {_MAX_ENCODINGS} of them"
            )
        self._encodings[signed] = self._encodings.get(signed, 0) + 1
        self._handles[handle.id] = dataclasses.replace(handle, raw=b"")  # the bytes are no longer needed
        self._handles_until_us = min(self._handles_until_us, keep_until_us)
        newest = self._handles.get(self._newest) if self._newest is not None else None
        if newest is None or handle.time_us > newest.time_us:
            self._newest = handle.id
            self._views = {group: dataclasses.replace(view, newest=handle.id) for group, view in self._views.items()}
        self._floor_us = max(self._floor_us, handle.earliest_us)
        if len(self._handles) > _MAX_HANDLES:
            self._forget(min(self._handles.values(), key=lambda each: each.time_us))
        return handle.id, keep_until_us

    def _take_endorsement(self, endorsement: Endorsement) -> bytes:
        before = self._endorsed.get(endorsement.ueid)
        known = before.endorsement.version if before is not None else None
        _check_version(TopicKind.ENDORSEMENTS, endorsement.version, known)
        self._endorsed[endorsement.ueid] = endorsed_key(endorsement)
        return endorsement.ueid

    def _take_reference_values(self, values: ReferenceValues) -> bytes:
        before = self._references.get(values.name)
        _check_version(TopicKind.REFERENCE_VALUES, values.version, before.version if before is not None else None)
        self._references[values.name] = values
        return values.name.encode()

    def _take_policy(self, policy: SignedPolicy, *, stored: bool) -> bytes:
        _check_version(TopicKind.POLICIES, policy.version, self._policies.version(policy.id))
        self._policies.take(policy, stored=stored)
        return policy.id.encode()


def _check_version(kind: TopicKind, version: int, known: int | None) -> None:
    if known is not None and version <= known:
        raise PeerError(Reason.OBJECT_ROLLED_BACK, f"{kind}: version {version}, version {known} is in force")


def _edges(values: ReferenceValues) -> tuple[int, ...]:
    """When the set changes: the validity of the set or of its outgoing values begins or ends."""
    outgoing = () if values.outgoing is None else (values.outgoing.until_s + 1,)
    return values.not_before_s, values.not_after_s + 1, *outgoing
