"""Log lines and metrics. A line is ``time level role event key=value …`` on standard error; never payloads or keys.

Each service declares its metrics (``prometheus_client``) beside its code. ``runtime.monitoring.metrics_page`` serves
them, ``docs/metrics.md`` explains them.
"""

import json
import logging
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Final

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

from schemas.errors import ConfigError

LEVELS: Final = ("debug", "info", "warning", "error")
_MAX_PORT: Final = 65_535
_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/+-@%")


class _KeyValueFormatter(logging.Formatter):
    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

    @override
    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields: dict[str, object] = getattr(record, "fields", {})
        parts = [when, record.levelname.lower(), self._role, record.getMessage()]
        parts.extend(f"{key}={_quote(value)}" for key, value in fields.items())
        line = " ".join(parts)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _quote(value: object) -> str:
    text = str(value)
    return text if text and _PLAIN.issuperset(text) else json.dumps(text)


def configure_logging(role: str, level: str) -> None:
    """Writes all log records to standard error in one format.

    Raises:
        ConfigError: ``level`` is not one of :data:`LEVELS`.
    """
    if level not in LEVELS:
        raise ConfigError(f"log level {level!r}: expected one of {', '.join(LEVELS)}")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_KeyValueFormatter(role))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("apscheduler").setLevel(logging.WARNING)
    for chatty in ("httpcore", "httpx"):  # they log addresses and headers of every request
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.WARNING)


def check_metrics_address(port: int, host: str) -> None:
    """Checks the settings ``metrics_port`` and ``metrics_host``, which every role has.

    Raises:
        ConfigError: names the setting. An empty host is refused: it would mean every address of this machine.
    """
    if not 0 <= port <= _MAX_PORT:
        raise ConfigError(f"metrics_port: {port}, expected 0 to {_MAX_PORT}")
    try:
        ip_address(host)
    except ValueError as error:
        raise ConfigError(f"metrics_host: {host[:80]!r}, expected an IP address") from error


class Logger:
    """Writes log lines: an event and its fields."""

    __slots__ = ("_logger",)

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, event: str, **fields: object) -> None:
        """For developers."""
        self._logger.debug(event, extra={"fields": fields})

    def info(self, event: str, **fields: object) -> None:
        """For normal operation."""
        self._logger.info(event, extra={"fields": fields})

    def warning(self, event: str, **fields: object) -> None:
        """Somebody may want to look: a rejected message, a retry."""
        self._logger.warning(event, extra={"fields": fields})

    def error(self, event: str, **fields: object) -> None:
        """Somebody must look."""
        self._logger.error(event, extra={"fields": fields})


class LateGauge(Collector):
    """A gauge with one label whose values are computed when the metrics are read.

    They are right even while the loop that they measure hangs, and cost nothing between two reads. The source runs on
    the reading thread.
    """

    def __init__(self, name: str, documentation: str, label: str) -> None:
        """Registers the gauge; it has no values until :meth:`read_from` is called."""
        self.name, self.documentation, self.label = name, documentation, label
        self._source: Callable[[], Mapping[str, float]] = dict
        REGISTRY.register(self)

    def read_from(self, source: Callable[[], Mapping[str, float]]) -> None:
        """Sets the source of the values, by label."""
        self._source = source

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """The gauge without values; does not call the source."""
        return [GaugeMetricFamily(self.name, self.documentation, labels=[self.label])]

    @override
    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily(self.name, self.documentation, labels=[self.label])
        for value, amount in sorted(self._source().items()):
            family.add_metric([value], amount)
        return [family]
