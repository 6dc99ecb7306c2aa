"""MQTT topic names. No other module builds or parses them.

A level with an identifier holds base64url text (UEIDs) or a checked name, so an identifier cannot bring a level
separator or a wildcard into a topic.
"""

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from schemas.errors import ConfigError, PeerError
from schemas.identifiers import Ueid, parse_ueid_text, ueid_text
from schemas.reasons import Reason

DEFAULT_ROOT: Final = "attestream/v1"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ROOT = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")


class TopicKind(StrEnum):
    """The first level of a topic below the root. Trust objects have the same kind in the audit log."""

    HANDLES = "handles"
    EVIDENCE = "evidence"
    RESULTS = "results"
    ENDORSEMENTS = "endorsements"
    REFERENCE_VALUES = "reference-values"
    POLICIES = "policies"
    STATEMENTS = "statements"
    SOLICIT = "solicit"
    ENROL = "enrol"
    ENROLMENT = "enrolment"
    STATUS = "status"
    ALERTS = "alerts"


class Role(StrEnum):
    """The role of a process that publishes its status."""

    ATTESTER = "attester"
    ENDORSER = "endorser"
    HANDLE_DISTRIBUTOR = "handle-distributor"
    VERIFIER = "verifier"


_KINDS: Final = {kind.value: kind for kind in TopicKind}
_TWO_LEVELS: Final = frozenset({TopicKind.EVIDENCE, TopicKind.STATUS})  # partition and attester, role and name


def check_name(name: str) -> str:
    """Checks a name that becomes one topic level (a distributor, a verifier, a set of reference values).

    Raises:
        PeerError: ``malformed``.
    """
    if not _NAME.fullmatch(name):
        raise PeerError(Reason.MALFORMED, f"name {name[:80]!r}: expected 1 to 64 of A-Z a-z 0-9 . _ -")
    return name


def partition_of(ueid: Ueid) -> str:
    """The partition of an attester: two hex digits, the first byte of SHA-256(UEID)."""
    return hashlib.sha256(ueid).hexdigest()[:2]


@dataclass(frozen=True, slots=True)
class Topics:
    """All topic names under one root (``attestream/v1`` unless configured)."""

    root: str = DEFAULT_ROOT

    def __post_init__(self) -> None:
        if not _ROOT.fullmatch(self.root):
            raise ConfigError(f"topic root {self.root!r}: expected levels of A-Z a-z 0-9 . _ - joined by /")

    def handles(self, distributor: str) -> str:
        """The handles of one distributor (retained)."""
        return f"{self.root}/{TopicKind.HANDLES}/{check_name(distributor)}"

    def evidence(self, ueid: Ueid) -> str:
        """The evidence of one attester."""
        return f"{self.root}/{TopicKind.EVIDENCE}/{partition_of(ueid)}/{ueid_text(ueid)}"

    def evidence_partition(self, partition: str) -> str:
        """Filter: the evidence of one partition (two hex digits)."""
        return f"{self.root}/{TopicKind.EVIDENCE}/{partition}/+"

    def results(self, ueid: Ueid) -> str:
        """The results about one attester (retained, expiring)."""
        return f"{self.root}/{TopicKind.RESULTS}/{ueid_text(ueid)}"

    def endorsements(self, ueid: Ueid) -> str:
        """The endorsement of one attester's key (retained)."""
        return f"{self.root}/{TopicKind.ENDORSEMENTS}/{ueid_text(ueid)}"

    def reference_values(self, name: str) -> str:
        """One set of reference values (retained)."""
        return f"{self.root}/{TopicKind.REFERENCE_VALUES}/{check_name(name)}"

    def policies(self, name: str) -> str:
        """One appraisal policy (retained)."""
        return f"{self.root}/{TopicKind.POLICIES}/{check_name(name)}"

    def statements(self, key_id: str) -> str:
        """The statement of what is current by one endorser's key (retained)."""
        return f"{self.root}/{TopicKind.STATEMENTS}/{check_name(key_id)}"

    def solicit(self, ueid: Ueid) -> str:
        """A verifier's requests to one attester to push now, or to resend."""
        return f"{self.root}/{TopicKind.SOLICIT}/{ueid_text(ueid)}"

    def enrol(self, ueid: Ueid) -> str:
        """One attester's enrolment requests to the endorser, and its answers to challenges."""
        return f"{self.root}/{TopicKind.ENROL}/{ueid_text(ueid)}"

    def enrolment(self, ueid: Ueid) -> str:
        """The endorser's challenges to one attester, and the outcome."""
        return f"{self.root}/{TopicKind.ENROLMENT}/{ueid_text(ueid)}"

    def status(self, role: Role, name: str) -> str:
        """The status of one process: online or offline (retained; last will)."""
        return f"{self.root}/{TopicKind.STATUS}/{role}/{check_name(name)}"

    def alerts(self, ueid: Ueid) -> str:
        """Alerts about one attester."""
        return f"{self.root}/{TopicKind.ALERTS}/{ueid_text(ueid)}"

    @property
    def fleet_alerts(self) -> str:
        """Alerts that are not about one attester. ``fleet`` is too short to be the text of a UEID."""
        return f"{self.root}/{TopicKind.ALERTS}/fleet"

    def all_of(self, kind: TopicKind) -> str:
        """Filter: all topics of a kind."""
        return f"{self.root}/{kind}/+/+" if kind in _TWO_LEVELS else f"{self.root}/{kind}/+"

    @property
    def all_handles(self) -> str:
        """Filter: the handles of every distributor."""
        return self.all_of(TopicKind.HANDLES)

    @property
    def all_evidence(self) -> str:
        """Filter: the evidence of every attester."""
        return self.all_of(TopicKind.EVIDENCE)

    @property
    def all_results(self) -> str:
        """Filter: the results about every attester."""
        return self.all_of(TopicKind.RESULTS)

    @property
    def all_endorsements(self) -> str:
        """Filter: every endorsement."""
        return self.all_of(TopicKind.ENDORSEMENTS)

    @property
    def all_enrol(self) -> str:
        """Filter: all that attesters send to the endorser."""
        return self.all_of(TopicKind.ENROL)

    @property
    def all_status(self) -> str:
        """Filter: the status of every process."""
        return self.all_of(TopicKind.STATUS)

    @property
    def all_alerts(self) -> str:
        """Filter: every alert."""
        return self.all_of(TopicKind.ALERTS)

    def last_level(self, topic: str) -> str:
        """The last level of a topic: a distributor, UEID or name."""
        return topic.rpartition("/")[2]

    def ueid_of(self, topic: str) -> Ueid:
        """The UEID in the last level of a topic.

        Raises:
            PeerError: ``malformed`` if the level is not the canonical text of a UEID.
        """
        return parse_ueid_text(self.last_level(topic))

    def kind_of(self, topic: str) -> TopicKind | None:
        """The kind of a topic; None for one that is not below the root, or of no known kind."""
        prefix = self.root + "/"
        if not topic.startswith(prefix):
            return None
        return _KINDS.get(topic[len(prefix) :].partition("/")[0])
