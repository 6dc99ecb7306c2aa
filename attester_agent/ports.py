"""What the agent needs of the world: a TPM, logs, a place to keep pushes, a way to send them."""

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
    """Who this device is.

    Attributes:
        ueid: from its endorsement key.
        public: TPMT_PUBLIC of the attesting key.
        environment: the attesting key's TPM name.
    """

    ueid: Ueid
    public: bytes
    environment: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PcrLifetime:
    """What tells one life of the PCRs from the next: all start anew with a reset, those from 16 on with a resume."""

    reset_count: int
    restart_count: int


class TpmSession(Protocol):
    """The TPM while it is ours. Every method raises ``WorldError`` (``tpm-…``)."""

    @property
    def environment(self) -> bytes:
        """TPM name of the attesting key in use."""

    def sync(self, qualifying_data: bytes) -> SyncProof:
        """Signs the TPM's clock: TPM2_GetTime, or a quote of no PCR where the endorsement hierarchy is closed."""

    def quote(self, qualifying_data: bytes, selection: PcrSelection) -> Quote:
        """TPM2_Quote."""

    def read_pcrs(self, selection: PcrSelection) -> PcrValues:
        """The selected PCRs' values. Not atomic: whether they belong to a quote, its digest says."""

    def pcr_lifetime(self) -> PcrLifetime:
        """How often the TPM was reset and resumed, as it tells everyone: unsigned and not obfuscated."""


class Registers(Protocol):
    """The PCRs, for whoever measures. Every method raises ``WorldError`` (``tpm-…``)."""

    def pcr_lifetime(self) -> PcrLifetime:
        """As ``TpmSession.pcr_lifetime``."""

    def read(self, index: int) -> Mapping[HashAlgorithm, bytes]:
        """The value of one PCR in every bank that has it and that we can hash for."""

    def extend(self, index: int, digests: Mapping[HashAlgorithm, bytes]) -> None:
        """TPM2_PCR_Extend, of all banks at once."""


class Tpm(Protocol):
    """A TPM with an attesting key."""

    def session(self) -> AbstractContextManager[TpmSession]:
        """Opens the TPM for one push; afterwards nothing of ours is left in it but the persistent key.

        Raises:
            WorldError: ``tpm-unreachable``, ``tpm-busy``, ``tpm-locked-out``, ``tpm-fatal``.
        """


class LogRestartedError(WorldError):
    """A log does not go on from where it was read: its indices count from 0 again."""


class MeasurementLog(Protocol):
    """A log that only grows within a boot."""

    @property
    def name(self) -> str:
        """Its name on the wire: ``tcg2``, ``ima`` or ``cel/<name>``."""

    @property
    def exists(self) -> bool:
        """Whether there is such a log right now."""

    def is_current(self, lifetime: PcrLifetime) -> bool:
        """Whether the log is of this life of the PCRs, as far as the log can tell.

        Raises:
            WorldError: ``store-unavailable``.
        """

    @property
    def is_lost_on_resume(self) -> bool:
        """Whether it explains PCRs that start anew with a resume, and so starts anew itself. Never raises."""

    def has_grown(self) -> bool:
        """Whether there is something beyond the last entry read. Cheap; never raises."""

    def read(self, start: int) -> Entries:
        """All whole entries from index ``start`` on; none when the log has no more.

        Raises:
            LogRestartedError: the log is another one now, or shorter than it was. The next call reads it from 0.
            WorldError: ``log-unreadable``, ``log-malformed``.
        """

    def restart(self) -> None:
        """Forgets positions: a new boot has a new log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPush:
    """A push that waits for the broker's acknowledgement. ``number`` orders pushes and names this one."""

    number: int
    payload: bytes


class Spool(Protocol):
    """Keeps the state and the pushes together, durably. Used by one thread. Every method raises ``WorldError``."""

    @property
    def queued_messages(self) -> int:
        """Pushes that wait."""

    @property
    def queued_bytes(self) -> int:
        """Size of their payloads."""

    def load(self) -> AgentState | None:
        """The state of the last call of a method that takes one; None when there was none."""

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
        """Removes pushes that were acknowledged; unknown numbers are ignored."""


class SyncStamper(Protocol):
    """Time Stamp Authorities that say how late a sync proof can have been made (TUDA's right side)."""

    def is_due(self, imprint: bytes) -> bool:
        """Whether it is time to ask for this one: it is new, or the pause after the last failure is over."""

    def stamp(self, imprint: bytes) -> bytes | None:
        """Asks once, for no longer than a set time; None when no TSA's answer counted. Never raises.

        Args:
            imprint: SHA-256 of the sync proof's attest.

        Returns:
            A DER token over it, verified to the operator's roots.
        """


class HandleSource(Protocol):
    """A place, other than the broker, where handles are left for the agent."""

    def poll(self) -> bytes | None:
        """A handle's bytes, unverified, if there are others than at the last call. Cheap when nothing changed.

        Raises:
            PeerError: ``too-large``; once for each change.
            WorldError: ``store-unavailable``; once for each change.
        """


class Transport(Protocol):
    """The broker, as ``runtime.mqtt.MqttConnection`` is it. Callable from the agent's thread."""

    @property
    def is_connected(self) -> bool:
        """Whether publishing has a chance now."""

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, expiry_s: int | None = None) -> int | None:
        """Hands over a QoS 1 message; the id that will be reported once it is acknowledged, None to try again."""
