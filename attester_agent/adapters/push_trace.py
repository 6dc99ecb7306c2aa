"""Records how long each stage of a push takes, for a trace. Without a tracer it does nothing.

A trace is identified by the push's body, which does not exist before half of the work is done. Until then the stages
are kept here, a bounded number of them. Owned by the agent's thread.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final, NamedTuple

from runtime.clock import monotonic_s
from runtime.ports import Tracer
from schemas.codecs import cmw
from schemas.media_types import EVIDENCE, Indicator
from schemas.messages.evidence import parse_evidence

MAX_STAGES: Final = 256  # of one push; four attempts have about sixty


class _Stage(NamedTuple):
    name: str
    started_s: float
    ended_s: float


class PushTrace:
    """The stages of the current push."""

    def __init__(self, tracer: Tracer | None = None) -> None:
        """Without a tracer, records nothing."""
        self._tracer = tracer
        self._stages: list[_Stage] = []
        self._nothing = nullcontext()

    @property
    def command(self) -> Callable[[str, float, float], None] | None:
        """Records a TPM command: its name, start and end; None without a tracer."""
        return None if self._tracer is None else self._command

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Records the ``with`` block as a stage."""
        return self._nothing if self._tracer is None else self._timed(name)

    def begin(self) -> float:
        """Starts a push; returns the current time."""
        self._stages.clear()
        return monotonic_s()

    def stored(self, body: bytes | None, started_s: float, *, sequence: int) -> None:
        """Reports the push and its stages, once it is stored. ``body`` is the SHA-256 of its body."""
        if self._tracer is None or body is None:
            return
        self._tracer.record(body, "agent push", started_s, monotonic_s(), {"sequence": sequence}, root=True)
        for stage in self._stages:
            self._tracer.record(body, f"agent {stage.name}", stage.started_s, stage.ended_s)
        self._stages.clear()

    def body_of(self, payload: bytes) -> bytes:
        """SHA-256 of the body in a payload; empty without a tracer."""
        if self._tracer is None:
            return b""
        return parse_evidence(cmw.unwrap(payload, EVIDENCE, Indicator.EVIDENCE)).body_digest

    def confirmed(self, body: bytes, since_s: float) -> None:
        """Reports that the broker acknowledged a push that was published at ``since_s``."""
        if self._tracer is not None and body:
            self._tracer.record(body, "agent publish", since_s, monotonic_s())

    def _command(self, name: str, started_s: float, ended_s: float) -> None:
        if len(self._stages) < MAX_STAGES:
            self._stages.append(_Stage(f"tpm {name}", started_s, ended_s))

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        started_s = monotonic_s()
        try:
            yield
        finally:
            if len(self._stages) < MAX_STAGES:
                self._stages.append(_Stage(name, started_s, monotonic_s()))
