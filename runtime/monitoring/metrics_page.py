"""Serves a service's one HTTP port: ``/metrics`` for Prometheus, ``/healthz`` and ``/readyz`` for a supervisor.

It answers GET and HEAD, reads no body and changes nothing. It listens on the loopback unless the settings name another
address. Its content is for operators: where strangers can reach the port, put a proxy with access control in front of
it. It answers a few requests at a time, each within seconds, and closes any further ones, so that no client can keep a
device from its work.
"""

import platform
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar, Final

from prometheus_client import REGISTRY, Gauge
from prometheus_client.exposition import choose_encoder
from typing_extensions import override

from runtime.monitoring.health import Health, Report
from runtime.service import installed_version
from runtime.telemetry import Logger
from schemas.errors import ConfigError

MAX_REQUESTS: Final = 8
"""Requests that are answered at the same time; further ones are closed without an answer."""
REQUEST_TIMEOUT_S: Final = 5.0

_LOG: Final = Logger("metrics")
_BUILD: Final = Gauge("attestream_build_info", "Always 1: which software this is", ["role", "version", "python"])
_TEXT: Final = "text/plain; charset=utf-8"
_NEXT: Final = "/metrics for Prometheus; /healthz: alive? /readyz: ready? (200 yes, 503 no)\n"


class MetricsPage:
    """The page of one process, until :meth:`close`."""

    def __init__(self, port: int, host: str, health: Health) -> None:
        """Listens and answers on threads of its own.

        Args:
            port: 0 for any free port.
            host: address to listen on.
            health: answers ``/healthz`` and ``/readyz``.

        Raises:
            ConfigError: the port is in use, or the host is not an address of this machine.
        """
        try:
            self._server = _Server((host, port), type("Handler", (_Handler,), {"health": health}))
        except OSError as error:  # includes UnicodeError, for a host that cannot be a name
            raise ConfigError(f"metrics_host, metrics_port: {host}:{port}: {error.strerror or error}") from error
        self.port: Final[int] = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics-page", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve_metrics(port: int, health: Health, *, host: str = "127.0.0.1") -> None:
    """Serves the page as long as the process lives; does nothing for port 0.

    Raises:
        ConfigError: as :class:`MetricsPage`.
    """
    _BUILD.labels(health.role, installed_version(), platform.python_version()).set(1)
    if port != 0:
        MetricsPage(port, host, health)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self._room = threading.BoundedSemaphore(MAX_REQUESTS)
        super().__init__(address, handler)

    @override
    def process_request(self, request: object, client_address: object) -> None:
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)  # type: ignore[arg-type]  # a socket, as the server accepted it
            return
        super().process_request(request, client_address)  # type: ignore[arg-type]  # as above

    @override
    def process_request_thread(self, request: object, client_address: object) -> None:
        try:
            super().process_request_thread(request, client_address)  # type: ignore[arg-type]  # as above
        finally:
            self._room.release()

    @override
    def handle_error(self, request: object, client_address: object) -> None:
        _LOG.debug("request-failed", client=client_address)


class _Handler(BaseHTTPRequestHandler):
    """A subclass for each page sets ``health``, because ``http.server`` makes the handlers."""

    health: ClassVar[Health]
    timeout: ClassVar[float | None] = REQUEST_TIMEOUT_S
    server_version, sys_version = "attestream", ""

    def do_GET(self) -> None:
        match self.path.partition("?")[0]:
            case "/metrics":
                encoder, content_type = choose_encoder(self.headers.get("Accept", ""))
                self._answer(HTTPStatus.OK, content_type, encoder(REGISTRY))
            case "/healthz":
                self._report(self.health.alive())
            case "/readyz":
                self._report(self.health.ready())
            case "/":
                self._answer(HTTPStatus.OK, _TEXT, _NEXT.encode())
            case _:
                self._answer(HTTPStatus.NOT_FOUND, _TEXT, _NEXT.encode())

    def do_HEAD(self) -> None:
        self.do_GET()

    def _report(self, report: Report) -> None:
        status = HTTPStatus.OK if report.ok else HTTPStatus.SERVICE_UNAVAILABLE
        self._answer(status, "application/json", report.json.encode())

    def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Requests are not logged."""
