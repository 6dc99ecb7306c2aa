"""Tries a policy: appraises recorded evidence again, from the first entry, with another policy in force."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from typing_extensions import override

from schemas import media_types
from schemas.audit.entry import AuditEntry, EvidenceEntry, ObjectEntry
from schemas.codecs import cmw
from schemas.errors import PeerError
from schemas.identifiers import Ueid
from schemas.media_types import Indicator
from schemas.messages import result_token
from schemas.messages.evidence import parse_evidence
from schemas.messages.trust_objects import TRUST_OBJECTS
from schemas.reasons import Reason
from schemas.topics import TopicKind
from schemas.verdicts import Tier
from verifier_worker.adapters.trust_store import TrustStore
from verifier_worker.core.state import AttesterState
from verifier_worker.core.step import step
from verifier_worker.ports import TrustObjects

_INCOMPLETE = frozenset({Reason.BASELINE_REQUIRED, Reason.SEQUENCE_GAP, Reason.LOG_GAP})


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A status, its reasons and their details."""

    status: Tier
    reasons: tuple[str, ...]
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One push, judged by the recorded result and by the policy on trial.

    Attributes:
        number: of the entry in the audit log.
        ueid: the attester.
        recorded: the recorded verdict; None if the push was refused, or the result does not parse.
        tried: the verdict under the policy on trial; None if the push is refused.
        comparable: the recorded evidence is complete up to here; it is not before its first baseline.
    """

    number: int
    ueid: Ueid
    recorded: Judgement | None
    tried: Judgement | None
    comparable: bool

    @property
    def differs(self) -> bool:
        """Whether the verdict would change."""
        return (
            self.comparable
            and self.recorded is not None
            and self.tried is not None
            and (self.recorded.status != self.tried.status)
        )


class DiscardedObjects(TrustObjects):
    """Keeps nothing: a trial has no effect."""

    @override
    def load_trust(self) -> Sequence[tuple[str, bytes]]:
        return []

    @override
    def save_trust(self, kind: str, key: bytes, raw: bytes, keep_until_us: int) -> None:
        del kind, key, raw, keep_until_us

    @override
    def prune_trust(self, now_us: int) -> None:
        del now_us


@dataclass(slots=True)
class PolicyTrial:
    """Owned by one thread.

    Attributes:
        trust: with the policy on trial, and the reference values that the audit log does not hold.
        problems: objects of the audit log that are not trusted, with the entry's number.
    """

    trust: TrustStore
    problems: list[str] = field(default_factory=list)
    _states: dict[Ueid, AttesterState] = field(default_factory=dict)

    def run(self, entries: Iterable[tuple[int, AuditEntry]]) -> Iterator[Comparison]:
        """Takes the entries of an audit log in order.

        Args:
            entries: with their numbers.

        Yields:
            A comparison for each push whose payload is recorded and whose attester the policy covers.
        """
        for number, entry in entries:
            if isinstance(entry, ObjectEntry):
                self._take(number, entry)
            elif entry.payload is not None:
                compared = self._compare(number, entry, entry.payload)
                if compared is not None:
                    yield compared

    def _take(self, number: int, entry: ObjectEntry) -> None:
        if entry.kind not in TRUST_OBJECTS or entry.kind in {TopicKind.POLICIES, TopicKind.STATEMENTS}:
            return
        try:
            self.trust.accept(entry.kind, None, entry.raw, entry.received_us, retained=True)
        except PeerError as error:
            if error.reason is not Reason.OBJECT_ROLLED_BACK:  # a newer set is on trial, too
                self.problems.append(f"entry {number}: {entry.kind}: {error}")

    def _compare(self, number: int, entry: EvidenceEntry, payload: bytes) -> Comparison | None:
        trust = self.trust.trust(entry.received_us, entry.ueid)
        if trust.policy is None:
            return None
        try:
            evidence = parse_evidence(cmw.unwrap(payload, media_types.EVIDENCE, Indicator.EVIDENCE))
        except PeerError:
            return None
        taken = step(self._states.get(entry.ueid), entry.ueid, evidence, entry.received_us, trust)
        if taken.duplicate:
            return None
        if taken.state is not None:
            self._states[entry.ueid] = taken.state
        tried = None
        if taken.refused is None and taken.state is not None:
            verdict = taken.state.verdict
            details = tuple(dict.fromkeys(finding.detail for finding in taken.findings if finding.detail))
            tried = Judgement(status=verdict.status, reasons=tuple(verdict.reasons), details=details)
        comparable = tried is None or _INCOMPLETE.isdisjoint(tried.reasons)
        return Comparison(
            number=number, ueid=entry.ueid, recorded=_recorded(entry.result), tried=tried, comparable=comparable
        )


def _recorded(token: bytes | None) -> Judgement | None:
    """The verdict that the verifier recorded."""
    if token is None:
        return None
    try:
        result = result_token.read_unverified(token)
    except PeerError:
        return None
    return Judgement(status=result.status, reasons=tuple(result.reasons), details=tuple(result.unexpected))


def count_changes(comparisons: Iterable[Comparison]) -> Mapping[tuple[Tier, Tier], int]:
    """The number of changed verdicts, by recorded and tried status."""
    changes: dict[tuple[Tier, Tier], int] = {}
    for each in comparisons:
        if each.differs and each.recorded is not None and each.tried is not None:
            key = each.recorded.status, each.tried.status
            changes[key] = changes.get(key, 0) + 1
    return changes
