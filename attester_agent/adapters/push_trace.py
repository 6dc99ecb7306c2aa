"""What an agent does for one push, stage by stage, for a trace; nothing at all where no trace is wanted.

A push is named after its body, which exists only when half of the work is done: so stages are kept until then, a
bounded number of them. Owned by the agent's thread.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final, NamedTuple

from runtime.clock import monotonic_s
from runtime.tracing import Tracer
from schemas.codecs import cmw
from schemas.media_types import EVIDENCE, Indicator
from schemas.messages.evidence import parse_evidence

MAX_STAGES: Final = 256  # of one push; four attempts have some sixty


class _Stage(NamedTuple):
    name: str
    started_s: float
    ended_s: float


class PushTrace:
    """The stages of the push that is being made."""

    def __init__(self, tracer: Tracer | None = None) -> None:
        """Without a tracer nothing is kept."""
        self._tracer = tracer
        self._stages: list[_Stage] = []
        self._nothing = nullcontext()

    @property
    def command(self) -> Callable[[str, float, float], None] | None:
        """Takes the name of each TPM command, its start and its end; None where nobody wants to know."""
        return None if self._tracer is None else self._command

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Lasts as long as the block."""
        return self._nothing if self._tracer is None else self._timed(name)

    def begin(self) -> float:
        """A push is begun; returns when."""
        self._stages.clear()
        return monotonic_s()

    def stored(self, body: bytes | None, started_s: float, *, sequence: int) -> None:
        """The push is in the spool, and its body's SHA-256 known: tells of the whole, and of each stage."""
        if self._tracer is None or body is None:
            return
        self._tracer.record(body, "agent push", started_s, monotonic_s(), {"sequence": sequence}, root=True)
        for stage in self._stages:
            self._tracer.record(body, f"agent {stage.name}", stage.started_s, stage.ended_s)
        self._stages.clear()

    def body_of(self, payload: bytes) -> bytes:
        """The body's SHA-256 of a push that is about to be published; empty where nobody wants to know."""
        if self._tracer is None:
            return b""
        return parse_evidence(cmw.unwrap(payload, EVIDENCE, Indicator.EVIDENCE)).body_digest

    def confirmed(self, body: bytes, since_s: float) -> None:
        """The broker has what was published at ``since_s``."""
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
