"""The checks behind the agent's ``/readyz``. The agent's thread reports to them, the metrics page reads them."""

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
_WELL: Final = Condition(ok=True, state="the last request succeeded")
_REPAIR: Final = "make room, or repair the disk or the file's owner; the agent continues by itself"
_UNASKED: Final = Condition(ok=False, state="not asked yet", next="wait; then see the agent's log lines")


class Readiness:
    """The checks of one agent; each attribute is written by the agent's thread and read by any."""

    def __init__(self) -> None:
        """The agent is not ready before the TPM has answered."""
        self.health: Final = Health(COMMAND, monotonic_s=monotonic_s, stalled_after_s=STALLED_AFTER_S)
        self._tpm, self._store = _UNASKED, _WELL
        self._handle: AcceptedHandle | None = None
        self._clock = ClockTrust.TRUSTED
        self.health.ask("tpm", lambda: self._tpm)
        self.health.ask("store", lambda: self._store)
        self.health.ask("handle", self._has_handle)

    def beat(self) -> None:
        """Reports a turn of the agent's loop."""
        self.health.beat()

    def tpm_answered(self) -> None:
        """Reports that the TPM did its last command."""
        self._tpm = _WELL

    def stored(self) -> None:
        """Reports that the state was stored."""
        self._store = _WELL

    def failed(self, error: WorldError) -> None:
        """Reports a failure of TPM or disk; the agent tries again."""
        if error.reason is Reason.STORE_UNAVAILABLE:
            self._store = Condition(ok=False, state=error.detail, next=_REPAIR)
        elif error.reason.startswith("tpm-"):
            self._tpm = Condition(
                ok=False,
                state=f"{error.reason}: {error.detail}",
                next="run attester-agent doctor as the agent's user: it shows what is wrong with the TPM",
            )

    def bound_to(self, handle: AcceptedHandle | None, clock: ClockTrust) -> None:
        """Reports the handle that pushes are bound to, and whether this machine's clock may judge it."""
        self._handle, self._clock = handle, clock

    def _has_handle(self) -> Condition:
        handle = self._handle
        if handle is not None and self._clock is ClockTrust.UNTRUSTED:
            return Condition(ok=True, state="there is one; its age is unknown, as this machine's clock is untrusted")
        return handle_condition(None if handle is None else (handle.time_us, handle.expires_us), utc_us())
