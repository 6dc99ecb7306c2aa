"""Runs each claim collector in a thread of its own, so that none of them can stop a push or delay it for long.

Returns at most ``MAX_CLAIMS`` claims with at most ``MAX_CLAIMS_BYTES`` in total, each of a type and size that evidence
can carry. If a collector raises, or a plug-in does not load, the error is logged and counted, and its claims are left
out. A collector that hangs keeps its last values and is not called again until it returns. No call takes longer than
``PATIENCE_S``.
"""

import threading
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from importlib import metadata
from typing import Final

from prometheus_client import Counter

from attester_agent.claims import Collected, Collector, container_digests
from attester_agent.settings import ClaimSettings
from runtime import clock
from runtime.telemetry import Logger
from schemas.limits import MAX_CLAIMS, MAX_TEXT_BYTES
from schemas.messages.evidence import VANISHED, ClaimValue

GROUP: Final = "attestream.claims"
LABEL: Final = "label"
EVERY_S: Final = 60.0  # claims seldom change
PATIENCE_S: Final = 2.0
MAX_CLAIMS_BYTES: Final = 8192
_MAX_NAME_BYTES: Final = 64
_MAX_INTEGER: Final = 2**53  # JSON, and therefore an attestation result, carries no larger one exactly

_LOG: Final = Logger("claims")
_FAILURES: Final = Counter(
    "attestream_claim_failures_total", "Times that a collector of claims failed or hung, by collector", ["collector"]
)


def load_collectors() -> dict[str, Collector]:
    """All installed plug-ins by name. A plug-in that does not load is logged and left out."""
    collectors: dict[str, Collector] = {}
    for point in metadata.entry_points(group=GROUP):
        try:
            loaded = point.load()
        except Exception as error:  # noqa: BLE001 foreign code may raise anything
            _failed(point.name, error)
            continue
        if isinstance(loaded, Collector):
            collectors[point.name] = loaded
        else:
            _failed(point.name, TypeError(f"{point.value} is a {type(loaded).__name__}, not a Collector"))
    return collectors


def collectors_of(settings: ClaimSettings) -> dict[str, Collector]:
    """All installed plug-ins by name, and the one for containers if the configuration names containers."""
    containers = {"containers": container_digests(settings.containers)} if settings.containers else {}
    return load_collectors() | containers


def is_selected(name: str, collector: Collector, select: Sequence[str]) -> bool:
    """Whether the selection includes any claim of the collector."""
    heads = [pattern.partition("/")[0] for pattern in select]
    return name in heads if collector.by_name_only else any(fnmatchcase(name, head) for head in heads)


class ClaimCollection:
    """The claims of this device. Used by one thread."""

    def __init__(
        self,
        collectors: Mapping[str, Collector],
        select: Sequence[str],
        *,
        label: str | None = None,
        every_s: float = EVERY_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Collects nothing yet.

        Args:
            collectors: by name.
            select: shell patterns for names of claims or collectors.
            label: the configured name of the device; becomes the claim ``label``, even if not selected.
            every_s: values are collected again after this time.
            patience_s: how long :meth:`current` waits for slow collectors.
        """
        self._collectors = {name: each for name, each in collectors.items() if is_selected(name, each, select)}
        self._select = tuple(select)
        self._label = label
        self._every_s, self._patience_s = every_s, patience_s
        self._due_s = clock.monotonic_s()
        self._running: dict[str, threading.Thread] = {}
        self._values: dict[str, Mapping[str, ClaimValue]] = {}  # only the collector's thread writes its key
        self._dropped: set[str] = set()

    def current(self) -> dict[str, ClaimValue]:
        """All selected claims."""
        self._refresh()
        found = {} if self._label is None else {LABEL: self._label}
        claims: dict[str, ClaimValue] = dict(found)
        size = 0
        for name, value in sorted(item for values in list(self._values.values()) for item in values.items()):
            size += len(name) + (len(value) if isinstance(value, bytes) else len(str(value).encode()))
            if len(claims) >= MAX_CLAIMS or size > MAX_CLAIMS_BYTES:
                self._drop(name)
            else:
                claims.setdefault(name, value)
        return claims

    def _refresh(self) -> None:
        now_s = clock.monotonic_s()
        if now_s < self._due_s:
            return
        self._due_s = now_s + self._every_s
        for name, collector in self._collectors.items():
            running = self._running.get(name)
            if running is not None and running.is_alive():
                continue  # the last call has not returned yet
            thread = threading.Thread(target=self._run, args=(name, collector), name=f"claims-{name}", daemon=True)
            self._running[name] = thread
            thread.start()
        for name, thread in self._running.items():
            thread.join(max(0.0, now_s + self._patience_s - clock.monotonic_s()))
            if thread.is_alive():
                _failed(name, TimeoutError(f"no answer within {self._patience_s} s"))

    def _run(self, name: str, collector: Collector) -> None:
        try:
            self._values[name] = self._selected(name, collector.collect())
        except Exception as error:  # noqa: BLE001 foreign code may raise anything
            self._values[name] = {}
            _failed(name, error)

    def _selected(self, name: str, collected: Collected) -> dict[str, ClaimValue]:
        """The selected values under their full names, cleaned; raises for values that no claim can have."""
        if collected is None:
            return {}
        if isinstance(collected, Mapping):
            named = {f"{name}/{key}": value for key, value in collected.items()}
        else:
            named = {name: collected}
        wanted = {
            full: _clean(full, value)
            for full, value in named.items()
            if any(pattern == name or fnmatchcase(full, pattern) for pattern in self._select)
        }
        return {full: value for full, value in wanted.items() if value != VANISHED}

    def _drop(self, name: str) -> None:
        if name not in self._dropped:
            self._dropped.add(name)
            _FAILURES.labels(name.partition("/")[0]).inc()
            _LOG.error("claim-dropped", claim=name, limit_claims=MAX_CLAIMS, limit_bytes=MAX_CLAIMS_BYTES)


def _clean(name: str, value: object) -> ClaimValue:
    """The value as evidence can carry it; cuts long text and bytes.

    Raises:
        TypeError, ValueError: no claim can have this value or name.
    """
    if not name.isprintable() or not 0 < len(name.encode()) <= _MAX_NAME_BYTES:
        message = f"name {name[:_MAX_NAME_BYTES]!r}: expected 1 to {_MAX_NAME_BYTES} printable bytes"
        raise ValueError(message)
    match value:
        case bool():
            return value
        case int() if abs(value) <= _MAX_INTEGER:
            return value
        case str():
            return value.encode("utf-8", "replace")[:MAX_TEXT_BYTES].decode("utf-8", "ignore")
        case bytes():
            return value[:MAX_TEXT_BYTES]
        case _:
            message = f"claim {name}: {type(value).__name__} is not text, bytes, a boolean or an integer of 53 bits"
            raise TypeError(message)


def _failed(name: str, error: Exception) -> None:
    _FAILURES.labels(name).inc()
    _LOG.error("claim-failed", collector=name, error=type(error).__name__, detail=str(error)[:200])
