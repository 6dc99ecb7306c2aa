"""What ``/readyz`` of an agent looks at. Told by the agent's thread, asked by the metrics page."""

from typing import Final

from attester_agent.core.handle_gate import AcceptedHandle, ClockTrust
from attester_agent.settings import COMMAND
from runtime.clock import monotonic_s, utc_us
from runtime.health import Condition, Health, handle_condition
from schemas.errors import WorldError
from schemas.reasons import Reason

STALLED_AFTER_S: Final = (
    180.0  # a discrete TPM takes up to a minute to make an RSA key, and a push may take several tries
)
_WELL: Final = Condition(ok=True, state="did what it was asked last")
_MEND: Final = "make room, or mend the disk or the file's owner; it goes on by itself"
_UNASKED: Final = Condition(ok=False, state="not asked yet", next="wait; then see the log")


class Readiness:
    """The checks of one agent; each attribute is written by the agent's thread and read by any."""

    def __init__(self) -> None:
        """Not ready before the TPM has answered."""
        self.health: Final = Health(COMMAND, monotonic_s=monotonic_s, stalled_after_s=STALLED_AFTER_S)
        self._tpm, self._store = _UNASKED, _WELL
        self._handle: AcceptedHandle | None = None
        self._clock = ClockTrust.TRUSTED
        self.health.ask("tpm", lambda: self._tpm)
        self.health.ask("store", lambda: self._store)
        self.health.ask("handle", self._has_handle)

    def beat(self) -> None:
        """The loop goes round."""
        self.health.beat()

    def tpm_answered(self) -> None:
        """The TPM did what it was asked."""
        self._tpm = _WELL

    def stored(self) -> None:
        """The state file took what it was given."""
        self._store = _WELL

    def failed(self, error: WorldError) -> None:
        """TPM or disk did not do what they were asked; the agent tries again."""
        if error.reason is Reason.STORE_UNAVAILABLE:
            self._store = Condition(
                ok=False, state=error.detail, next="make room, or mend the disk or the file's owner"
            )
        elif error.reason.startswith("tpm-"):
            self._tpm = Condition(
                ok=False,
                state=f"{error.reason}: {error.detail}",
                next="run attester-agent doctor as the agent's user: it says what is wrong with the TPM",
            )

    def bound_to(self, handle: AcceptedHandle | None, clock: ClockTrust) -> None:
        """The handle that pushes are bound to, and whether this machine's clock may judge it."""
        self._handle, self._clock = handle, clock

    def _has_handle(self) -> Condition:
        handle = self._handle
        if handle is not None and self._clock is ClockTrust.UNTRUSTED:
            return Condition(ok=True, state="there is one; its age is not for this machine's clock to tell")
        return handle_condition(None if handle is None else (handle.time_us, handle.expires_us), utc_us())
