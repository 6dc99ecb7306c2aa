"""The trusted objects in force: handles, endorsements, reference values, policy. Owned by the worker's loop thread.

Every object is verified here before it counts, also when it is read back from the database. A version of an endorsement
or of a set of reference values is never replaced by an older one, nor by another object of the same version.
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from schemas.endorsement import verify_endorsement
from schemas.errors import PeerError
from schemas.handle import Handle, StampVerifier, verify_handle
from schemas.identifiers import HandleId, Ueid, ueid_text
from schemas.reasons import Reason
from schemas.reference_values import ReferenceValues, verify_reference_values
from verifier_worker.appraisal_policy import AppraisalPolicy
from verifier_worker.ports import StateStore
from verifier_worker.trust import EndorsedKey, References, Trust, endorsed_key, merge_references, succeed

HANDLES: Final = "handles"
ENDORSEMENTS: Final = "endorsements"
REFERENCE_VALUES: Final = "reference-values"
_US: Final = 1_000_000
_FOREVER_US: Final = 2**62
_HANDLE_KEPT_US: Final = 86_400 * _US  # after expiry: evidence that refers to it is then stale, not pending
_MAX_SKEW_US: Final = 10 * _US
_MAX_HANDLES: Final = 10_000
_MAX_SPELLINGS: Final = 4  # a token's certificates can be spelled in many ways (ADR 3); a distributor has one


class TrustStore:
    """Verifies objects, keeps the newest of each, gives them out as :class:`Trust`."""

    def __init__(
        self,
        store: StateStore,
        *,
        endorsers: Mapping[bytes, EllipticCurvePublicKey],
        distributors: Mapping[bytes, EllipticCurvePublicKey],
        stamps: StampVerifier,
        policy: AppraisalPolicy | None,
    ) -> None:
        """Starts empty; :meth:`load` reads what was stored.

        Args:
            store: where accepted objects are kept.
            endorsers: trusted endorsers' keys by ``cose.key_id``.
            distributors: trusted distributors' keys, likewise.
            stamps: verifies the handles' time-stamp tokens.
            policy: the appraisal policy in force.
        """
        self._store = store
        self._endorsers = endorsers
        self._distributors = distributors
        self._stamps = stamps
        self._policy = policy
        self._handles: dict[HandleId, Handle] = {}
        self._spellings: dict[tuple[str, bytes], int] = {}
        self._endorsed: dict[Ueid, EndorsedKey] = {}
        self._seen: set[bytes] = set()  # SHA-256 of objects in force or replaced: retained ones come at every start
        self._references: dict[str, ReferenceValues] = {}
        self._merged: References | None = None
        self._trust: Trust | None = None
        self._newest: HandleId | None = None
        self._merged_until_s = 0

    def load(self, now_us: int) -> list[PeerError]:
        """Verifies again what was stored; what no longer verifies is left out and returned."""
        self._store.prune_trust(now_us)
        errors = []
        for kind, raw in self._store.load_trust():
            try:
                self._take(kind, None, raw, now_us)
            except PeerError as error:
                errors.append(error)
        return errors

    def prune(self, now_us: int) -> None:
        """Forgets handles that no evidence can refer to any more, here and in the store."""
        self._store.prune_trust(now_us)
        for handle in [each for each in self._handles.values() if each.expires_us + _HANDLE_KEPT_US < now_us]:
            self._forget(handle)

    def _forget(self, handle: Handle) -> None:
        del self._handles[handle.id]
        self._spellings.pop((handle.claims.issuer, handle.claims.nonce), None)

    def accept(self, kind: str, name: str, raw: bytes, now_us: int) -> bool:
        """Verifies an object that arrived, and stores it.

        Args:
            kind: :data:`HANDLES`, :data:`ENDORSEMENTS` or :data:`REFERENCE_VALUES`.
            name: last level of the topic; must be what the signed object says of itself.
            raw: the signed object.
            now_us: the verifier's clock.

        Returns:
            True when it is new; False when it was there already.

        Raises:
            PeerError: what the object's verification raises; ``handle-from-future``, ``handle-expired``,
                ``object-rolled-back``, ``object-misdirected``.
        """
        digest = hashlib.sha256(raw).digest()
        if digest in self._seen or HandleId(digest) in self._handles:
            return False
        key, keep_until_us = self._take(kind, name, raw, now_us)
        self._store.save_trust(kind, key, raw, keep_until_us)
        return True

    def trust(self, now_us: int) -> Trust:
        """What is in force at ``now_us``."""
        now_s = now_us // _US
        if self._trust is None or now_s >= self._merged_until_s:
            names = self._policy.reference_values if self._policy is not None else ()
            references = merge_references(names, self._references, now_s)
            if self._merged is not None:
                references = succeed(self._merged, references, now_us)
            self._merged = references
            self._trust = Trust(
                endorsed=self._endorsed,
                handles=self._handles,
                policy=self._policy,
                references=references,
                newest=self._newest,
                stamps=self._stamps,
            )
            self._merged_until_s = min(
                (edge for values in self._references.values() for edge in _edges(values) if edge > now_s),
                default=_FOREVER_US,
            )
        return self._trust

    @property
    def newest_handle(self) -> Handle | None:
        """The handle with the latest TSA time."""
        return max(self._handles.values(), key=lambda handle: handle.time_us, default=None)

    def _take(self, kind: str, name: str | None, raw: bytes, now_us: int) -> tuple[bytes, int]:
        """Verifies ``raw`` and puts it in force; returns its key and how long to keep it."""
        match kind:
            case "handles":
                taken = self._take_handle(name, raw, now_us)
            case "endorsements":
                taken = self._take_endorsement(name, raw)
            case "reference-values":
                taken = self._take_reference_values(name, raw)
            case _:
                raise PeerError(Reason.MALFORMED, f"{kind[:32]!r}: not a kind of trust object")
        if kind != HANDLES:
            self._seen.add(hashlib.sha256(raw).digest())
        return taken

    def _take_handle(self, name: str | None, raw: bytes, now_us: int) -> tuple[bytes, int]:
        handle = verify_handle(raw, self._distributors, self._stamps)
        _check_name(HANDLES, name, handle.claims.issuer)
        keep_until_us = handle.expires_us + _HANDLE_KEPT_US
        if handle.earliest_us > now_us + _MAX_SKEW_US:
            raise PeerError(Reason.HANDLE_FROM_FUTURE, "handle: the TSA's time is ahead of this machine's clock")
        if keep_until_us < now_us:
            raise PeerError(Reason.HANDLE_EXPIRED, "handle: expired more than a day ago")
        signed = (handle.claims.issuer, handle.claims.nonce)
        if self._spellings.get(signed, 0) >= _MAX_SPELLINGS:
            raise PeerError(Reason.HANDLE_NOT_NEWER, f"handle: one more spelling of one we have {_MAX_SPELLINGS} of")
        self._spellings[signed] = self._spellings.get(signed, 0) + 1
        self._handles[handle.id] = dataclasses.replace(handle, raw=b"")  # the bytes have served
        newest = self._handles.get(self._newest) if self._newest is not None else None
        if newest is None or handle.time_us > newest.time_us:
            self._newest = handle.id
            self._trust = dataclasses.replace(self._trust, newest=handle.id) if self._trust is not None else None
        if len(self._handles) > _MAX_HANDLES:
            self._forget(min(self._handles.values(), key=lambda each: each.time_us))
        return handle.id, keep_until_us

    def _take_endorsement(self, name: str | None, raw: bytes) -> tuple[bytes, int]:
        endorsement = verify_endorsement(raw, self._endorsers)
        _check_name(ENDORSEMENTS, name, ueid_text(endorsement.ueid))
        before = self._endorsed.get(endorsement.ueid)
        _check_version(ENDORSEMENTS, endorsement.version, before.endorsement.version if before else None)
        self._endorsed[endorsement.ueid] = endorsed_key(endorsement)
        return endorsement.ueid, _FOREVER_US

    def _take_reference_values(self, name: str | None, raw: bytes) -> tuple[bytes, int]:
        values = verify_reference_values(raw, self._endorsers)
        _check_name(REFERENCE_VALUES, name, values.name)
        before = self._references.get(values.name)
        _check_version(REFERENCE_VALUES, values.version, before.version if before else None)
        self._references[values.name] = values
        self._trust = None
        return values.name.encode(), _FOREVER_US


def _check_name(kind: str, topic_name: str | None, own_name: str) -> None:
    if topic_name is not None and topic_name != own_name:
        raise PeerError(Reason.OBJECT_MISDIRECTED, f"{kind}: {own_name[:64]} came on the topic of {topic_name[:64]}")


def _check_version(kind: str, version: int, known: int | None) -> None:
    if known is not None and version <= known:
        raise PeerError(Reason.OBJECT_ROLLED_BACK, f"{kind}: version {version}, version {known} is in force")


def _edges(values: ReferenceValues) -> tuple[int, ...]:
    """When what the set says changes: its validity, and that of its outgoing values."""
    outgoing = () if values.outgoing is None else (values.outgoing.until_s + 1,)
    return values.not_before_s, values.not_after_s + 1, *outgoing
