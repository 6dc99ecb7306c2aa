"""Runs the server of the dashboard: one process, one event loop, until a stop is requested.

The only importer of uvicorn. Needs the extra ``dashboard``.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Final

import uvicorn
from typing_extensions import override

from relying_party.dashboard.access import Access, OpenAccess
from relying_party.dashboard.events import Events
from relying_party.dashboard.feed import Feed
from relying_party.dashboard.login import LoginAccess
from relying_party.dashboard.settings import DashboardSettings
from relying_party.dashboard.web import make_app
from runtime.monitoring.metrics_page import serve_metrics
from runtime.service import Stop
from schemas.errors import ConfigError

_POLL_S: Final = 0.1
_LEAVE_S: Final = 2
_BACKLOG: Final = 128
_OTHER_CONNECTIONS: Final = 256  # besides the pages that follow; further ones get 503


class _Server(uvicorn.Server):
    """Leaves signals to :class:`Stop`."""

    @contextlib.contextmanager
    @override
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(settings: DashboardSettings, stop: Stop, report: Callable[[str], None], *, check_only: bool = False) -> int:
    """Serves until ``stop``.

    Args:
        settings: all of them.
        stop: ends it.
        report: gets the address once the server listens.
        check_only: read every file that the settings name, then return.

    Returns:
        The exit status.

    Raises:
        ConfigError: a file is missing or wrong, or the address is taken.
        Exception: what ended the feed. A dashboard that no longer listens must not go on showing its last state.
    """
    feed = Feed(settings)
    access = _access(settings)
    if check_only:
        return 0
    with _listening(settings) as listener:
        serve_metrics(settings.metrics_port, feed.health, host=settings.metrics_host)
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        scheme = "https" if settings.web.certificate_file is not None else "http"
        report(f"{scheme}://{shown}:{port}/")
        asyncio.run(_serve(settings, feed, access, listener, stop))
    return 0


async def _serve(settings: DashboardSettings, feed: Feed, access: Access, listener: socket.socket, stop: Stop) -> None:
    events = Events(feed, settings.web.max_viewers)

    web = settings.web
    config = uvicorn.Config(
        make_app(feed, events, access),
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(web.trusted_proxies),
        forwarded_allow_ips=list(web.trusted_proxies),
        timeout_graceful_shutdown=_LEAVE_S,
        limit_concurrency=web.max_viewers + _OTHER_CONNECTIONS,
        ssl_certfile=web.certificate_file,
        ssl_keyfile=web.key_file,
    )
    server = _Server(config)
    following = asyncio.create_task(feed.run())

    async def leave() -> None:
        while not stop.requested and not following.done():  # noqa: ASYNC110 a signal sets the first, no event of the loop
            await asyncio.sleep(_POLL_S)
        events.close()
        server.should_exit = True

    leaving = asyncio.create_task(leave())
    try:
        await server.serve(sockets=[listener])
    finally:
        leaving.cancel()
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following


def _access(settings: DashboardSettings) -> Access:
    return LoginAccess(settings) if settings.has_login else OpenAccess(settings)


@contextlib.contextmanager
def _listening(settings: DashboardSettings) -> Iterator[socket.socket]:
    host, port = settings.web.address
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigError(f"web.listen: {settings.web.listen}: {error.strerror or error}") from error
    with listener:
        yield listener
