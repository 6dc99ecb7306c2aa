"""A real HTTP server that receives webhooks: takes them, refuses, redirects, hangs, drips, or answers without end."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from typing_extensions import override

from tests.programs.waiting import PATIENCE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 JSON
        """Its body."""
        return json.loads(self.body)


class HttpReceiver:
    """``received`` holds requests in order of arrival, guarded by its condition."""

    def __init__(self, port: int = 0) -> None:
        self.received: list[Received] = []
        self.answer: Callable[[int], tuple[int, Mapping[str, str]]] = lambda _: (204, {})
        self.misbehave: Callable[[BaseHTTPRequestHandler], None] | None = None
        self.released = threading.Event()
        self._changed = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver._take(self)

            do_GET = do_POST  # noqa: N815 http.server's name

            @override
            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            @override
            def handle_error(self, request: object, client_address: object) -> None:
                """A client that gives up in the middle is what some tests are about."""

        self._server = Server(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def _take(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("content-length", 0)))
        request = Received(
            path=handler.path, headers={name.lower(): value for name, value in handler.headers.items()}, body=body
        )
        with self._changed:
            self.received.append(request)
            number = len(self.received)
            self._changed.notify_all()
        if self.misbehave is not None:
            self.misbehave(handler)
            return
        status, headers = self.answer(number)
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("content-length", "0")
        handler.end_headers()

    def wait_for(
        self, wanted: Callable[[list[Received]], bool], what: str, seconds: float = PATIENCE_S
    ) -> list[Received]:
        """Waits until ``wanted`` of all requests so far is true; fails naming ``what``."""
        with self._changed:
            if not self._changed.wait_for(lambda: wanted(self.received), seconds):
                kinds = [each.json.get("type") if each.body.startswith(b"{") else each.path for each in self.received]
                raise AssertionError(f"not seen within {seconds} s: {what}; received {kinds}")
            return list(self.received)

    def close(self) -> None:
        """Stops listening."""
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextlib.contextmanager
def http_receiver(port: int = 0) -> Iterator[HttpReceiver]:
    """A server for the length of a block."""
    receiver = HttpReceiver(port)
    try:
        yield receiver
    finally:
        receiver.close()
