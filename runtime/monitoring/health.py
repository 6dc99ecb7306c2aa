"""Answers whether a process is alive and ready, and what to do if it is not.

*Alive* means that the main loop ran a moment ago (:meth:`Health.beat`). A process that is not alive should be
restarted. *Ready* means that every check passes. If one fails, a restart does not help; its ``next`` states what does.
A loop reports the result of a check (:meth:`Health.report`: the store committed a transaction), or the check runs when
somebody asks (:meth:`Health.ask`: is the broker connected?).

Thread-safe: loops report, the thread of the metrics page asks. Asking never waits for a loop, so the answer is right
even while a loop hangs. A check that raises has failed.
"""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from runtime.mqtt import MqttConnection
from runtime.telemetry import LateGauge, Logger
from schemas.instants import SECOND_US

STALLED_AFTER_S: Final = 60.0
"""A loop that has not run for this long hangs. Longer than any wait in a loop: a TPM that makes a key, a TSA."""

_LOG: Final = Logger("health")
_CHECKS: Final = LateGauge(
    "attestream_check_ok", "1 while a check of /readyz holds, 0 while it does not; by check", "check"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """The result of a check.

    Attributes:
        ok: whether it passed.
        state: what the check found, in a few words. No secrets: anyone who may read metrics may read this.
        next: what an operator should do if it failed.
    """

    ok: bool
    state: str
    next: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The results of all checks, by name."""

    role: str
    ok: bool
    checks: Mapping[str, Condition]

    @property
    def json(self) -> str:
        """One JSON object, for people and for probes."""
        checks = {
            name: {"ok": found.ok, "state": found.state} | ({} if found.ok else {"next": found.next})
            for name, found in self.checks.items()
        }
        return json.dumps({"role": self.role, "ok": self.ok, "checks": checks}, indent=2) + "\n"


class Health:
    """The checks of one process."""

    def __init__(
        self, role: str, *, monotonic_s: Callable[[], float], stalled_after_s: float = STALLED_AFTER_S
    ) -> None:
        """Alive from now on, and ready until a check fails.

        Args:
            role: the name of the command.
            monotonic_s: a clock that never runs back.
            stalled_after_s: the main loop hangs if it has not beaten for this long.
        """
        self.role: Final = role
        self._monotonic_s = monotonic_s
        self._stalled_after_s = stalled_after_s
        self._beat_s = monotonic_s()  # written by the main loop, read by any thread
        self._checks: dict[str, Callable[[], Condition]] = {}
        self._lock = threading.Lock()  # protects _checks
        _CHECKS.read_from(lambda: {name: float(each.ok) for name, each in self.ready().checks.items()})

    def beat(self) -> None:
        """The main loop calls this in each round. Costs one reading of a clock."""
        self._beat_s = self._monotonic_s()

    def ask(self, name: str, check: Callable[[], Condition]) -> None:
        """Adds a check that runs whenever somebody asks, on the asking thread. It must not wait for anything."""
        with self._lock:
            self._checks[name] = check

    def report(self, name: str, condition: Condition) -> None:
        """Sets the result of a check; it is valid until the next call."""
        self.ask(name, lambda: condition)

    def alive(self) -> Report:
        """Whether the main loop ran a moment ago."""
        since_s = max(0.0, self._monotonic_s() - self._beat_s)
        found = Condition(
            ok=since_s <= self._stalled_after_s,
            state=f"the main loop ran {since_s:.1f} s ago",
            next=f"more than {self._stalled_after_s:g} s: it hangs; restart it, and report its last log lines",
        )
        return Report(role=self.role, ok=found.ok, checks={"loop": found})

    def ready(self) -> Report:
        """Whether every check passes, including :meth:`alive`."""
        with self._lock:
            checks = dict(self._checks)
        found = dict(self.alive().checks) | {name: _made(name, check) for name, check in checks.items()}
        return Report(role=self.role, ok=all(each.ok for each in found.values()), checks=found)


def broker_condition(connection: MqttConnection) -> Condition:
    """Whether a broker connection is up and has its subscriptions."""
    if connection.is_ready:
        return Condition(ok=True, state="connected")
    if connection.refusal:
        return Condition(
            ok=False,
            state=f"the broker refused the {connection.refusal}",
            next="look at its access control, and at username, password_file and certificates in [mqtt]",
        )
    if connection.is_connected:
        return Condition(ok=False, state="connected, not subscribed yet", next="wait; then look at the broker's log")
    return Condition(
        ok=False, state="not connected", next="is the broker up, and are mqtt.host and mqtt.port right? See the log"
    )


def handle_condition(handle: tuple[int, int] | None, now_us: int) -> Condition:
    """Whether there is a handle that has not expired.

    Args:
        handle: when it was stamped and when it expires, UTC microseconds; None if there is no handle yet.
        now_us: this machine's clock.
    """
    if handle is None:
        return Condition(
            ok=False, state="no handle yet", next="does a trusted handle distributor publish on this broker?"
        )
    stamped_us, expires_us = handle
    age_s = (now_us - stamped_us) / SECOND_US
    return Condition(
        ok=now_us < expires_us,
        state=f"stamped {age_s:.0f} s ago" + ("" if now_us < expires_us else ", expired"),
        next="look at the handle distributor: its /readyz, and attestream_handle_failures_total by reason",
    )


def _made(name: str, check: Callable[[], Condition]) -> Condition:
    try:
        return check()
    except Exception as error:  # noqa: BLE001 a check that raises has failed
        _LOG.error("check-failed", check=name, error=type(error).__name__, detail=error)
        return Condition(
            ok=False, state=f"the check failed: {type(error).__name__}", next="report it; the log has more"
        )
