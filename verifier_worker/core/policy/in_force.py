"""The appraisal policies in force, and which of them applies to an attester."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from schemas.errors import ConfigError, PeerError
from schemas.messages.policy import ALL_GROUPS, SignedPolicy, claimed_groups
from schemas.reasons import Reason
from verifier_worker.core.policy.policy_file import AppraisalPolicy
from verifier_worker.core.statements import Current, Statements


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The policy of a group, if any.

    Attributes:
        policy: the policy.
        conflict: names the policies that equally claim the group.
        missing: names the policy that the group should have.
        current: the trust in a signed policy; a worker's own policy needs none.
    """

    policy: AppraisalPolicy | None = None
    conflict: str = ""
    missing: str = ""
    current: Current | None = None


class Policies:
    """The newest version of each signed policy, and the worker's own policy.

    A group's policy is the one that names it, else the one for all groups (``*``), else the worker's own if it covers
    the group. If two policies equally claim a group, it has none: nothing decides which one was meant.
    """

    def __init__(self, own: AppraisalPolicy | None, compile_policy: Callable[[SignedPolicy], AppraisalPolicy]) -> None:
        """Starts with no signed policy.

        Args:
            own: the policy in the worker's settings, if any.
            compile_policy: compiles a policy's text; raises ``ConfigError``.
        """
        self._own = own
        self._compile = compile_policy
        self._signed: dict[str, tuple[SignedPolicy, AppraisalPolicy]] = {}
        self._digests: dict[str, bytes] = {}
        self._unread: dict[str, int] = {}  # by id, the greatest version that did not compile
        self._unreadable: dict[str, tuple[SignedPolicy, tuple[str, ...]]] = {}  # in force once; with its groups

    def version(self, name: str) -> int | None:
        """The newest version of a policy, valid in time or not; None if there is no such policy."""
        return self._signed[name][0].version if name in self._signed else None

    def groups_of(self, name: str) -> tuple[str, ...]:
        """The groups of the newest version of a policy, valid in time or not; none if there is no such policy."""
        if name in self._signed:
            return self._signed[name][1].groups
        return self._unreadable[name][1] if name in self._unreadable else ()

    def take(self, signed: SignedPolicy, digest: bytes = b"", *, stored: bool = False) -> None:
        """Puts a verified policy in force; the caller has checked that its version is greater.

        Args:
            signed: the policy.
            digest: SHA-256 of the signed object; a statement lists it.
            stored: it was in force before, maybe under another release of this software. If this release cannot compile
                it, its groups have no policy: they must not fall to a weaker one.

        Raises:
            PeerError: ``policy-invalid``: its text does not compile, and the policy in force stays.
                ``object-rolled-back``: a greater version replaced it, even though that one does not compile.
        """
        unread = self._unread.get(signed.id, 0)
        if signed.version < unread:
            raise PeerError(
                Reason.OBJECT_ROLLED_BACK,
                f"policy: version {signed.version}, there was {unread}, which does not compile",
            )
        try:
            compiled = self._compile(signed)
        except ConfigError as error:
            self._unread[signed.id] = signed.version
            if stored:
                self._unreadable[signed.id] = signed, claimed_groups(signed.text)
            raise PeerError(Reason.POLICY_INVALID, error.detail) from error
        label = f"{signed.id}/{signed.version}"
        self._signed[signed.id] = signed, replace(compiled, label=label)
        self._digests[signed.id] = digest
        self._unreadable.pop(signed.id, None)

    def choose(self, group: str, now_s: int, stated: Statements | None = None) -> Choice:
        """The policy of a group at a time.

        Statements of what is current decide which policy a group has; without any, the policies themselves do. If that
        policy did not arrive, has ended or cannot be read, the group has none: it never falls to a weaker one
        (invariant I39).
        """
        if stated is None or not stated.any:
            return self._claimed(group, now_s)
        ids = stated.policies_of(group)
        if len(ids) > 1:
            return Choice(conflict=", ".join(ids))
        if ids:
            return self._assigned(ids[0], now_s, stated)
        return self._own_choice(group)

    def _assigned(self, name: str, now_s: int, stated: Statements) -> Choice:
        """The policy that statements name."""
        lost = self._unreadable.get(name)
        if lost is not None:
            return Choice(conflict=_unreadable_text(lost[0]))
        signed, policy = self._signed.get(name, (None, None))
        if signed is None:
            return Choice(missing=f"{name}, which was not received")
        current = stated.of_policy(name, signed.version, self._digests[name])
        if current is None:
            return Choice(missing=f"{name}/{signed.version}, which is not the version in force")
        if not signed.not_before_s <= now_s <= signed.not_after_s:
            return Choice(missing=f"{name}/{signed.version}, which is not valid now")
        return Choice(policy=policy, current=current)

    def _own_choice(self, group: str) -> Choice:
        own = self._own
        covers = own is not None and (group in own.groups or ALL_GROUPS in own.groups)
        return Choice(policy=own) if covers else Choice()

    def _claimed(self, group: str, now_s: int) -> Choice:
        """Without any statement: the policy that claims the group, even where it has ended."""
        for name in dict.fromkeys((group, ALL_GROUPS)):
            claims = [(signed, policy) for signed, policy in self._signed.values() if name in policy.groups]
            valid = [policy for signed, policy in claims if signed.not_before_s <= now_s <= signed.not_after_s]
            labels = [each.label for each in valid]
            lost = [each for each, groups in self._unreadable.values() if name in groups]
            labels += [_unreadable_text(each) for each in lost if each.not_before_s <= now_s <= each.not_after_s]
            if len(labels) > len(valid) or len(valid) > 1:
                return Choice(conflict=", ".join(sorted(labels)))
            if valid:
                return Choice(policy=valid[0])
            begun = [policy.label for signed, policy in claims if signed.not_before_s <= now_s]
            begun += [_unreadable_text(each) for each in lost if each.not_before_s <= now_s]
            if begun:
                return Choice(missing=f"{', '.join(sorted(begun))}, which is not valid now")
        return self._own_choice(group)

    @property
    def reference_sets(self) -> frozenset[tuple[str, ...]]:
        """The names of the reference values that each policy uses, valid in time or not."""
        every = [policy for _, policy in self._signed.values()] + ([self._own] if self._own is not None else [])
        return frozenset(policy.reference_values for policy in every)

    @property
    def least_grace_us(self) -> int | None:
        """The shortest ``grace_us`` of any policy; None without a policy."""
        every = [policy for _, policy in self._signed.values()] + ([self._own] if self._own is not None else [])
        return min((policy.grace_us for policy in every), default=None)

    def edges_s(self) -> Iterator[int]:
        """When the choice may change: the validity of a policy, readable or not, begins or ends."""
        for signed, _ in (*self._signed.values(), *self._unreadable.values()):
            yield from (signed.not_before_s, signed.not_after_s + 1)


def _unreadable_text(signed: SignedPolicy) -> str:
    return f"{signed.id}/{signed.version}, which cannot be read"
