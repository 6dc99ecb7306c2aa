"""The checks behind the agent's ``/readyz``. The agent's thread reports to them, the metrics page reads them."""

from typing import Final

from attester_agent.core.handle_gate import AcceptedHandle, ClockTrust
from attester_agent.settings import COMMAND
from runtime.clock import monotonic_s, utc_us
from runtime.monitoring.health import Condition, Health, handle_condition
from schemas.errors import WorldError
from schemas.reasons import Reason

STALLED_AFTER_S: Final = (
    180.0  # a discrete TPM takes up to a minute to make an RSA key, and a push may take several tries
)
_WELL: Final = Condition(ok=True, state="the last request succeeded")
_REPAIR: Final = "make room, or repair the disk or the file's owner; the agent continues by itself"
_DOCTOR: Final = "run attester-agent doctor as the agent's user: it shows what is wrong with the TPM"
_UNASKED: Final = Condition(ok=False, state="not asked yet", next="wait; then see the agent's log lines")


class Readiness:
    """The checks of one agent. The agent's thread reports; any thread may read."""

    def __init__(self) -> None:
        """The agent is not ready before the TPM has answered."""
        self.health: Final = Health(COMMAND, monotonic_s=monotonic_s, stalled_after_s=STALLED_AFTER_S)
        self._handle: AcceptedHandle | None = None
        self._clock = ClockTrust.TRUSTED
        self.health.report("tpm", _UNASKED)
        self.health.report("store", _WELL)
        self.health.ask("handle", self._has_handle)

    def beat(self) -> None:
        """Reports a turn of the agent's loop."""
        self.health.beat()

    def tpm_answered(self) -> None:
        """Reports that the TPM did its last command."""
        self.health.report("tpm", _WELL)

    def stored(self) -> None:
        """Reports that the state was stored."""
        self.health.report("store", _WELL)

    def failed(self, error: WorldError) -> None:
        """Reports a failure of TPM or disk; the agent tries again."""
        if error.reason is Reason.STORE_UNAVAILABLE:
            self.health.report("store", Condition(ok=False, state=error.detail, next=_REPAIR))
        elif error.reason.startswith("tpm-"):
            state = f"{error.reason}: {error.detail}"
            self.health.report("tpm", Condition(ok=False, state=state, next=_DOCTOR))

    def bound_to(self, handle: AcceptedHandle | None, clock: ClockTrust) -> None:
        """Reports the handle that pushes are bound to, and whether this machine's clock may judge it."""
        self._handle, self._clock = handle, clock

    def _has_handle(self) -> Condition:
        handle = self._handle
        if handle is not None and self._clock is ClockTrust.UNTRUSTED:
            return Condition(ok=True, state="there is one; its age is unknown, as this machine's clock is untrusted")
        return handle_condition(None if handle is None else (handle.time_us, handle.expires_us), utc_us())
