"""Time Stamp Authorities for tests: the embedded one on real openssl, and HTTP servers that misbehave in one way each.

    with running_tsa(tmp_path) as tsa: ...                       # honest; tsa.url, tsa.root_file
    with misbehaving_tsa(wrong_nonce(authority)) as url: ...     # dishonest

A behaviour gets the request's bytes and an :class:`Exchange` to answer on. Those that make somebody wait do so until
the server ends, which is when the ``with`` block does.
"""

import contextlib
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final, cast

import pytest
import rfc3161ng
from typing_extensions import override

from deploy.demo.embedded_tsa import DEFAULT_ACCURACY_MS, ROOT_FILE, running_authority
from tests.builders import token_forge
from tests.builders.token_forge import ForgedAuthority, Recipe

HOST: Final = "127.0.0.1"
REPLY: Final = "application/timestamp-reply"
DRIP_SECONDS: Final = 0.02
HUGE_BYTES: Final = 8 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Tsa:
    """An honest TSA."""

    url: str
    root_file: Path


@contextlib.contextmanager
def running_tsa(directory: Path, *, port: int = 0, accuracy_ms: int = DEFAULT_ACCURACY_MS) -> Iterator[Tsa]:
    """The embedded TSA in this process; skips the test when openssl is not installed."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    with running_authority(directory, port, accuracy_ms) as url:
        yield Tsa(url=url, root_file=directory / ROOT_FILE)


@dataclass(frozen=True, kw_only=True)
class Query:
    """A TimeStampReq."""

    imprint: bytes
    nonce: int
    certificate_wanted: bool
    raw: bytes


def parse_query(raw: bytes) -> Query:
    request = rfc3161ng.decode_timestamp_request(raw)
    return Query(
        imprint=bytes(request["messageImprint"]["hashedMessage"]),
        nonce=int(request["nonce"]),
        certificate_wanted=bool(request["certReq"]),
        raw=raw,
    )


class Exchange:
    """One request to answer, in whatever way."""

    def __init__(self, handler: BaseHTTPRequestHandler, ended: threading.Event) -> None:
        self._handler = handler
        self.ended = ended

    def reply(self, body: bytes, *, status: int = 200, content_type: str = REPLY, **headers: str) -> None:
        self._handler.send_response(status)
        self._handler.send_header("Content-Type", content_type)
        self._handler.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self._handler.send_header(name, value)
        self._handler.end_headers()
        self.raw(body)

    def raw(self, content: bytes) -> None:
        with contextlib.suppress(OSError):  # a client that has given up is what some tests are about
            self._handler.wfile.write(content)
            self._handler.wfile.flush()


Behaviour = Callable[[bytes, Exchange], None]


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = cast("_Server", self.server)
        query = self.rfile.read(int(self.headers["Content-Length"]))
        server.behaviour(query, Exchange(self, server.ended))

    @override
    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # server_close() waits for them

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.ended = threading.Event()
        super().__init__((HOST, 0), _Handler)


@contextlib.contextmanager
def misbehaving_tsa(behaviour: Behaviour) -> Iterator[str]:
    """Serves ``behaviour`` on the loopback; yields the URL."""
    server = _Server(behaviour)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_address[1]}/tsa"
    finally:
        server.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


# ── behaviours ───────────────────────────────────────────────────────────────────────────────────────────────────────


def honest(authority: ForgedAuthority | Recipe, *, offset_us: int = 0, accuracy_us: int = 500_000) -> Behaviour:
    """Stamps what is asked; its clock is this machine's, off by ``offset_us``."""

    def behave(raw: bytes, exchange: Exchange) -> None:
        query = parse_query(raw)
        now_us = time.time_ns() // 1000 + offset_us
        token = authority.token(query.imprint, now_us, accuracy_us=accuracy_us, nonce=query.nonce)
        exchange.reply(token_forge.granted(token))

    return behave


def wrong_imprint(authority: ForgedAuthority) -> Behaviour:
    def behave(raw: bytes, exchange: Exchange) -> None:
        token = authority.token(b"w" * 32, time.time_ns() // 1000, nonce=parse_query(raw).nonce)
        exchange.reply(token_forge.granted(token))

    return behave


def wrong_nonce(authority: ForgedAuthority, nonce: int | None = 1) -> Behaviour:
    def behave(raw: bytes, exchange: Exchange) -> None:
        token = authority.token(parse_query(raw).imprint, time.time_ns() // 1000, nonce=nonce)
        exchange.reply(token_forge.granted(token))

    return behave


def replayed(authority: ForgedAuthority) -> Behaviour:
    """Answers the first request, then repeats that answer: a network that plays back old time."""
    first: list[bytes] = []

    def behave(raw: bytes, exchange: Exchange) -> None:
        query = parse_query(raw)
        if not first:
            token = authority.token(query.imprint, time.time_ns() // 1000, nonce=query.nonce)
            first.append(token_forge.granted(token))
        exchange.reply(first[0])

    return behave


def refusing(_raw: bytes, exchange: Exchange) -> None:
    exchange.reply(token_forge.rejected("come back later"))


def failing(_raw: bytes, exchange: Exchange) -> None:
    exchange.reply(b"out of order", status=503)


def redirecting(_raw: bytes, exchange: Exchange) -> None:
    exchange.reply(b"", status=302, Location="file:///etc/hostname")


def garbage(_raw: bytes, exchange: Exchange) -> None:
    exchange.reply(bytes(range(256)))


def empty(_raw: bytes, exchange: Exchange) -> None:
    exchange.reply(b"")


def granted_without_token(_raw: bytes, exchange: Exchange) -> None:
    exchange.reply(token_forge.granted(b""))


def web_page(_raw: bytes, exchange: Exchange) -> None:
    exchange.reply(b"<html>Welcome to the hotel</html>", content_type="text/html")


def no_http(_raw: bytes, exchange: Exchange) -> None:
    exchange.raw(b"SSH-2.0-OpenSSH_9.2\r\n")


def huge(_raw: bytes, exchange: Exchange) -> None:
    exchange.reply(bytes(HUGE_BYTES))


def nested(_raw: bytes, exchange: Exchange) -> None:
    body = b""
    while len(body) < 30_000:
        body = token_forge.tlv(0x30, body)
    exchange.reply(body)


def silent(_raw: bytes, exchange: Exchange) -> None:
    exchange.ended.wait()


def dripping_body(_raw: bytes, exchange: Exchange) -> None:
    """One byte at a time, each well within any timeout for one read."""
    exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/timestamp-reply\r\nContent-Length: 60000\r\n\r\n")
    while not exchange.ended.wait(DRIP_SECONDS):
        exchange.raw(b"0")


def dripping_headers(_raw: bytes, exchange: Exchange) -> None:
    exchange.raw(b"HTTP/1.1 200 OK\r\nX: ")
    while not exchange.ended.wait(DRIP_SECONDS):
        exchange.raw(b"x")


def hanging_up(_raw: bytes, _exchange: Exchange) -> None:
    """Closes the connection without a word."""
