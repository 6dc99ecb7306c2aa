"""The interfaces between the agent and the outside world: TPM, measurement logs, spool, broker."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from attester_agent.core.agent_state import AgentState
from attester_agent.core.evidence_builder import Quote
from attester_agent.core.log_window import Entries
from schemas.errors import WorldError
from schemas.hashes import HashAlgorithm
from schemas.identifiers import Ueid
from schemas.messages.evidence import SyncProof
from schemas.tpm.pcr import PcrSelection, PcrValues


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The device's identity.

    Attributes:
        ueid: computed from the endorsement key.
        public: TPMT_PUBLIC of the attesting key.
        environment: the attesting key's TPM name.
    """

    ueid: Ueid
    public: bytes
    environment: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PcrLifetime:
    """Identifies one PCR lifetime. A reset restarts all PCRs; a resume restarts PCRs 16 and up."""

    reset_count: int
    restart_count: int


class TpmSession(Protocol):
    """An open TPM. Every method raises ``WorldError`` (``tpm-…``)."""

    @property
    def environment(self) -> bytes:
        """TPM name of the attesting key in use."""

    def sync(self, qualifying_data: bytes) -> SyncProof:
        """Signs the TPM's clock: TPM2_GetTime, or a quote without PCRs if the endorsement hierarchy is closed."""

    def quote(self, qualifying_data: bytes, selection: PcrSelection) -> Quote:
        """TPM2_Quote."""

    def read_pcrs(self, selection: PcrSelection) -> PcrValues:
        """The selected PCRs' values. Not atomic: only the quote's digest shows whether they belong to that quote."""

    def pcr_lifetime(self) -> PcrLifetime:
        """How often the TPM was reset and resumed; neither signed nor obfuscated."""


class Registers(Protocol):
    """The PCRs, for a program that measures. Every method raises ``WorldError`` (``tpm-…``)."""

    def pcr_lifetime(self) -> PcrLifetime:
        """As ``TpmSession.pcr_lifetime``."""

    def read(self, index: int) -> Mapping[HashAlgorithm, bytes]:
        """The value of one PCR in every bank that has it and whose hash algorithm is supported."""

    def extend(self, index: int, digests: Mapping[HashAlgorithm, bytes]) -> None:
        """TPM2_PCR_Extend, in all banks at once."""


class Tpm(Protocol):
    """A TPM with an attesting key."""

    def session(self) -> AbstractContextManager[TpmSession]:
        """Opens the TPM for one push; leaves nothing in it but the persistent attesting key.

        Raises:
            WorldError: ``tpm-unreachable``, ``tpm-busy``, ``tpm-locked-out``, ``tpm-fatal``.
        """


class LogRestartedError(WorldError):
    """A measurement log was replaced or has become shorter: its indices start from 0 again."""


class MeasurementLog(Protocol):
    """A measurement log. Within one boot it only grows."""

    @property
    def name(self) -> str:
        """Its name on the wire: ``tcg2``, ``ima`` or ``cel/<name>``."""

    @property
    def exists(self) -> bool:
        """Whether the log exists now."""

    def is_current(self, lifetime: PcrLifetime) -> bool:
        """Whether the log belongs to this PCR lifetime; True if the log cannot tell.

        Raises:
            WorldError: ``store-unavailable``.
        """

    @property
    def is_lost_on_resume(self) -> bool:
        """Whether the log restarts with a resume, because it explains PCRs that do. Never raises."""

    def has_grown(self) -> bool:
        """Whether there is anything after the last entry read. Cheap; never raises."""

    def read(self, start: int) -> Entries:
        """All whole entries from index ``start`` on, possibly none.

        Raises:
            LogRestartedError: the log was replaced or has become shorter. The next call reads it from 0.
            WorldError: ``log-unreadable``, ``log-malformed``.
        """

    def restart(self) -> None:
        """Forgets positions; to be called after a reboot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPush:
    """A push that waits for the broker's acknowledgement. ``number`` identifies it and gives the order."""

    number: int
    payload: bytes


class Spool(Protocol):
    """Stores the state and the pushes durably. Used by one thread. Every method raises ``WorldError``."""

    @property
    def queued_messages(self) -> int:
        """Pushes that wait."""

    @property
    def queued_bytes(self) -> int:
        """Size of their payloads."""

    def load(self) -> AgentState | None:
        """The state that was stored last; None if none was."""

    def save(self, state: AgentState) -> None:
        """Replaces the state. On disk when it returns."""

    def fits(self, size: int) -> bool:
        """Whether a push of ``size`` bytes may be added."""

    def add(self, state: AgentState, payload: bytes) -> None:
        """Adds a push and replaces the state, both or neither. On disk when it returns."""

    def clear(self, state: AgentState) -> None:
        """Removes all pushes and replaces the state, both or neither."""

    def waiting(self, after: int, limit: int) -> Sequence[StoredPush]:
        """The oldest pushes with numbers above ``after``, in order, at most ``limit``."""

    def remove(self, numbers: Sequence[int]) -> None:
        """Removes acknowledged pushes; ignores unknown numbers."""


class SyncStamper(Protocol):
    """Time Stamp Authorities. Their stamp bounds when a sync proof was made at the latest (TUDA's right side)."""

    def is_due(self, imprint: bytes) -> bool:
        """Whether to ask for this stamp now: the imprint is new, or the pause after the last failure is over."""

    def stamp(self, imprint: bytes) -> bytes | None:
        """Asks one TSA, with a timeout; None if there was no valid answer. Never raises.

        Args:
            imprint: SHA-256 of the sync proof's attest.

        Returns:
            The DER token, verified up to the operator's roots.
        """


class HandleSource(Protocol):
    """A source of handles other than the broker."""

    def poll(self) -> bytes | None:
        """The bytes of a handle, unverified, if they changed since the last call. Cheap if nothing changed.

        Raises:
            PeerError: ``too-large``; once for each change.
            WorldError: ``store-unavailable``; once for each change.
        """
