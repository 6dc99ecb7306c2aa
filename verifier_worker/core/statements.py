"""The newest statement of each endorser's key, and what they say together.

A policy or a set is in force if a statement lists it, in this version or an earlier one: the statement that lists a new
version may arrive after it. Whether an endorsement is withdrawn is stated by the key that signed it. If that key may
not sign statements, any key may state it that may and whose scope has the attester's group.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from schemas.errors import PeerError
from schemas.identifiers import Ueid
from schemas.messages.key_scope import KeyScope
from schemas.messages.policy import ALL_GROUPS
from schemas.messages.trust_statement import Listed, TrustStatement, Withdrawal, Withdrawn
from schemas.reasons import Reason
from schemas.topics import TopicKind


@dataclass(frozen=True, slots=True)
class Current:
    """Until when the trust in some objects is current.

    Attributes:
        since_s: when the statement was issued, UTC seconds; None without a statement.
        until_s: its end, UTC seconds.
    """

    since_s: int | None
    until_s: int


UNSTATED = Current(None, 0)


def least(current: Collection[Current]) -> Current:
    """The trust in all of these objects together."""
    since_s = [each.since_s for each in current if each.since_s is not None]
    if not current or len(since_s) < len(current):
        return UNSTATED
    return Current(min(since_s), min(each.until_s for each in current))


class Statements:
    """Owned by the trust store."""

    def __init__(self, scope_of: Callable[[bytes], KeyScope]) -> None:
        """Starts with no statement.

        Args:
            scope_of: the scope of a key, by its id.
        """
        self._scope_of = scope_of
        self._newest: dict[bytes, TrustStatement] = {}

    def take(self, statement: TrustStatement) -> frozenset[Ueid]:
        """Puts a verified statement in the place of the last one of its key.

        Returns:
            The attesters whose endorsements it revokes or ends, and the last one did not, or not in this way.

        Raises:
            PeerError: ``object-rolled-back``.
        """
        before = self._newest.get(statement.key_id)
        if before is not None and statement.number <= before.number:
            raise PeerError(
                Reason.OBJECT_ROLLED_BACK,
                f"{TopicKind.STATEMENTS}: number {statement.number}, number {before.number} is in force",
            )
        self._newest[statement.key_id] = statement
        known = before.withdrawn if before is not None else {}
        return frozenset(
            ueid
            for ueid, each in statement.withdrawn.items()
            if each.standing is not Withdrawn.REPLACED and known.get(ueid) != each
        )

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return bool(self._newest)

    @property
    def listed(self) -> frozenset[tuple[str, str, int, bytes]]:
        """Every set and policy that is listed; it changes with what is in force."""
        return frozenset(
            (kind, name, each.version, each.digest)
            for statement in self._newest.values()
            for kind, names in (
                (TopicKind.POLICIES, statement.policies),
                (TopicKind.REFERENCE_VALUES, statement.reference_values),
            )
            for name, each in names.items()
        )

    def policies_of(self, group: str) -> tuple[str, ...]:
        """The ids of the policies that statements give to a group; several are a conflict."""
        for name in (group, ALL_GROUPS):
            ids = {each.groups[name] for each in self._newest.values() if name in each.groups}
            if ids:
                return tuple(sorted(ids))
        return ()

    def of_policy(self, name: str, version: int, digest: bytes) -> Current | None:
        """The trust in a policy; None if it is not in force."""
        return _newest(self._listing(lambda each: each.policies, name), version, digest)

    def of_set(self, name: str, version: int, digest: bytes) -> Current | None:
        """The trust in a set of reference values; None if it is not in force."""
        return _newest(self._listing(lambda each: each.reference_values, name), version, digest)

    def _listing(
        self, part: Callable[[TrustStatement], Mapping[str, Listed]], name: str
    ) -> Iterator[tuple[TrustStatement, Listed]]:
        for statement in self._newest.values():
            listed = part(statement).get(name)
            if listed is not None:
                yield statement, listed

    def of_endorsement(self, signer: bytes, group: str) -> Current:
        """The trust in endorsements by a key for a group: each statement that speaks of them must be current."""
        return least([_current(each) for each in self._speakers(signer, group)])

    def withdrawal(self, ueid: Ueid, version: int, signer: bytes, group: str) -> Withdrawal | None:
        """How an endorsement was withdrawn; None if it was not.

        Args:
            ueid: the attester.
            version: of the endorsement.
            signer: id of the key that signed it.
            group: of the attester.
        """
        for statement in self._speakers(signer, group):
            found = statement.withdrawn.get(ueid)
            if found is not None and version < found.below:
                return found
        return None

    def _speakers(self, signer: bytes, group: str) -> Iterator[TrustStatement]:
        """The statements that speak of an endorsement."""
        if self._scope_of(signer).allows_kind(TopicKind.STATEMENTS):
            if signer in self._newest:
                yield self._newest[signer]
            return
        for key, statement in self._newest.items():
            if self._scope_of(key).allows_groups((group or ALL_GROUPS,)):
                yield statement


def _current(statement: TrustStatement) -> Current:
    return Current(statement.issued_s, statement.not_after_s)


def _newest(listing: Iterator[tuple[TrustStatement, Listed]], version: int, digest: bytes) -> Current | None:
    acceptable = (
        statement
        for statement, listed in listing
        if listed.version < version or (listed.version == version and listed.digest == digest)
    )
    newest = max(acceptable, key=lambda statement: statement.issued_s, default=None)
    return None if newest is None else _current(newest)
