"""Makes the next statement of what is current from the last one, from objects that come into force and withdrawals."""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from typing import TypeAlias

from schemas.errors import ConfigError, PeerError
from schemas.identifiers import Ueid, parse_ueid_text, ueid_text
from schemas.messages.endorsement import Endorsement
from schemas.messages.policy import SignedPolicy, claimed_groups
from schemas.messages.reference_values import ReferenceValues
from schemas.messages.trust_statement import Listed, TrustStatement, Withdrawal, Withdrawn
from schemas.topics import TopicKind

Publishable: TypeAlias = Endorsement | ReferenceValues | SignedPolicy


class NextStatement:
    """Collects what changes; :meth:`made` is the statement."""

    def __init__(self, before: TrustStatement | None, now_s: int) -> None:
        """Starts with everything that the last statement says.

        Args:
            before: the last statement of this endorser's key; None for the first.
            now_s: UTC seconds.
        """
        self._before, self._now_s = before, now_s
        self._policies = dict(before.policies) if before is not None else {}
        self._groups = dict(before.groups) if before is not None else {}
        self._sets = dict(before.reference_values) if before is not None else {}
        self._withdrawn = dict(before.withdrawn) if before is not None else {}

    def put_in_force(self, objects: Iterable[tuple[Publishable, bytes]]) -> None:
        """Lists objects; the versions before them are not in force any more.

        Args:
            objects: verified, each with its signed bytes.

        Raises:
            ConfigError: two policies claim one group; an object is older than the one in force; an endorsement was
                withdrawn.
        """
        for verified, raw in objects:
            listed = Listed(verified.version, hashlib.sha256(raw).digest())
            match verified:
                case SignedPolicy():
                    _check_newer(f"policy {verified.id}", self._policies.get(verified.id), listed)
                    self._policies[verified.id] = listed
                    self._give_groups(verified)
                case ReferenceValues():
                    _check_newer(f"reference values {verified.name}", self._sets.get(verified.name), listed)
                    self._sets[verified.name] = listed
                case Endorsement():
                    self._endorse(verified)

    def _give_groups(self, policy: SignedPolicy) -> None:
        kept = {group: name for group, name in self._groups.items() if name != policy.id}
        groups = dict.fromkeys(claimed_groups(policy.text), policy.id)
        twice = sorted(kept.keys() & groups.keys())
        if twice:
            raise ConfigError(
                f"policy {policy.id}: policy {kept[twice[0]]} is in force for group {twice[0]!r}; "
                f"withdraw it with --withdraw {TopicKind.POLICIES}/{kept[twice[0]]}, or change the groups of one"
            )
        self._groups = {**kept, **groups}

    def _endorse(self, endorsement: Endorsement) -> None:
        known = self._withdrawn.get(endorsement.ueid)
        if known is not None and endorsement.version < known.below:
            raise ConfigError(
                f"endorsement of {ueid_text(endorsement.ueid)}: version {endorsement.version} was {known.standing}; "
                f"sign version {known.below} or a later one"
            )
        self._withdrawn[endorsement.ueid] = Withdrawal(
            below=endorsement.version, standing=Withdrawn.REPLACED, at_s=self._now_s
        )

    def withdraw(self, names: Collection[str], by: str) -> None:
        """Takes objects out of force.

        Args:
            names: ``policies/ID``, ``reference-values/NAME`` or ``endorsements/UEID``: the end of the object's topic.
            by: who decided it.

        Raises:
            ConfigError: no such object is in force.
        """
        for text in names:
            kind, _, name = text.partition("/")
            if kind == TopicKind.POLICIES and name in self._policies:
                del self._policies[name]
                self._groups = {group: policy for group, policy in self._groups.items() if policy != name}
            elif kind == TopicKind.REFERENCE_VALUES and name in self._sets:
                del self._sets[name]
            elif kind == TopicKind.ENDORSEMENTS:
                self._withdrawn[_ueid_of(text, name)] = Withdrawal(
                    below=self._now_s + 1, standing=Withdrawn.REVOKED, at_s=self._now_s, by=by
                )
            else:
                in_force = [f"{TopicKind.POLICIES}/{each}" for each in sorted(self._policies)]
                in_force += [f"{TopicKind.REFERENCE_VALUES}/{each}" for each in sorted(self._sets)]
                raise ConfigError(
                    f"--withdraw {text}: not in force; expected {TopicKind.ENDORSEMENTS}/UEID or one of: "
                    f"{', '.join(in_force) or '(nothing is in force)'}"
                )

    def take_registry(self, withdrawn: Mapping[Ueid, Withdrawal]) -> None:
        """Adds the withdrawals of the registry. What was withdrawn by hand up to a later version stays withdrawn."""
        for ueid, withdrawal in withdrawn.items():
            known = self._withdrawn.get(ueid)
            least = 0 if known is None else known.below + (withdrawal.standing is Withdrawn.REPLACED)
            if withdrawal.below >= least:
                self._withdrawn[ueid] = withdrawal

    def made(self, issuer: str, lifetime_s: int) -> TrustStatement:
        """The statement; its number is the current second, or greater if the last one's was."""
        before = self._before
        return TrustStatement(
            issuer=issuer,
            number=max(self._now_s, before.number + 1 if before is not None else 0),
            issued_s=self._now_s,
            not_after_s=self._now_s + lifetime_s,
            policies=self._policies,
            groups=self._groups,
            reference_values=self._sets,
            withdrawn=self._withdrawn,
        )


def _check_newer(what: str, known: Listed | None, listed: Listed) -> None:
    if known is not None and (
        listed.version < known.version or (listed.version == known.version and listed.digest != known.digest)
    ):
        raise ConfigError(f"{what}: version {listed.version}, version {known.version} is in force; sign a later one")


def _ueid_of(text: str, name: str) -> Ueid:
    try:
        return parse_ueid_text(name)
    except PeerError as error:
        raise ConfigError(f"--withdraw {text}: {error.detail}") from error
