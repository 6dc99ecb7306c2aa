"""The appraisal policies in force, and which of them applies to an attester."""

import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from schemas.errors import ConfigError, PeerError
from schemas.messages.policy import SignedPolicy
from schemas.reasons import Reason
from verifier_worker.core.policy.policy_file import ALL_GROUPS, AppraisalPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The policy of a group, if any. ``conflict`` names the policies that equally claim it."""

    policy: AppraisalPolicy | None = None
    conflict: str = ""


class Policies:
    """The newest version of each signed policy, and the worker's own policy.

    A group's policy is the one that names it, else the one for all groups (``*``), else the worker's own if it covers
    the group. If two policies equally claim a group, it has none: nothing decides which was meant.
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
        self._unread: dict[str, int] = {}  # by id, the greatest version that did not compile
        self._unreadable: dict[str, tuple[SignedPolicy, tuple[str, ...]]] = {}  # in force once; with its groups

    def version(self, name: str) -> int | None:
        """The newest version of a policy, valid in time or not; None if there is no such policy."""
        return self._signed[name][0].version if name in self._signed else None

    def take(self, signed: SignedPolicy, *, stored: bool = False) -> None:
        """Puts a verified policy in force; the caller has checked that its version is greater.

        Args:
            signed: the policy.
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
                self._unreadable[signed.id] = signed, _claimed_groups(signed.text)
            raise PeerError(Reason.POLICY_INVALID, error.detail) from error
        label = f"{signed.id}/{signed.version}"
        self._signed[signed.id] = signed, replace(compiled, label=label)
        self._unreadable.pop(signed.id, None)

    def choose(self, group: str, now_s: int) -> Choice:
        """The policy of a group at a time."""
        valid = [
            policy for signed, policy in self._signed.values() if signed.not_before_s <= now_s <= signed.not_after_s
        ]
        lost = [
            (f"{signed.id}/{signed.version}, which cannot be read", groups)
            for signed, groups in self._unreadable.values()
            if signed.not_before_s <= now_s <= signed.not_after_s
        ]
        own = [self._own] if self._own is not None else []
        for candidates, unread in (
            ([each for each in valid if group in each.groups], [label for label, groups in lost if group in groups]),
            (
                [each for each in valid if ALL_GROUPS in each.groups],
                [label for label, groups in lost if ALL_GROUPS in groups],
            ),
            ([each for each in own if group in each.groups or ALL_GROUPS in each.groups], []),
        ):
            if unread or len(candidates) > 1:
                return Choice(conflict=", ".join(sorted([*(each.label for each in candidates), *unread])))
            if candidates:
                return Choice(policy=candidates[0])
        return Choice()

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


def _claimed_groups(text: str) -> tuple[str, ...]:
    """The groups that a policy's text claims; all groups if the text is not readable."""
    try:
        groups = tomllib.loads(text).get("groups")
    except (tomllib.TOMLDecodeError, RecursionError):
        return (ALL_GROUPS,)
    return tuple(map(str, groups)) if isinstance(groups, list) else (ALL_GROUPS,)
