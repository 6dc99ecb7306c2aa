"""The web application: the page, its data and its events.

Read-only: a request changes nothing but a session. Every answer allows the browser only this server's own files
(Content-Security-Policy), and no frames, sniffing or referrers. A request under a foreign host name is refused, so that
no other page can reach a dashboard on this machine under a name of its own (DNS rebinding).
"""

import gzip
import json
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp
from typing_extensions import override

from relying_party.dashboard.access import Access, Role
from relying_party.dashboard.events import Events, TooManyViewersError, compressed, snapshot_json
from relying_party.dashboard.feed import Feed
from relying_party.dashboard.handle_watch import watch_json
from relying_party.dashboard.page_texts import texts_js
from relying_party.dashboard.request_checks import HeaderFence, HostFence
from relying_party.dashboard.rows import COLUMNS, VIEWS, detail_of, reasons_json
from runtime import clock
from schemas.codecs.jwks import encode_jwks
from schemas.errors import PeerError
from schemas.identifiers import parse_ueid_text
from schemas.instants import SECOND_US

STATIC: Final = Path(__file__).with_name("static")
SNAPSHOT_FOR_S: Final = 1.0
MAX_REQUEST_BYTES: Final = 16 * 1024


class AsciiJson(JSONResponse):
    """JSON in ASCII: every text from the network can be encoded."""

    @override
    def render(self, content: object) -> bytes:
        return json.dumps(content, separators=(",", ":"), allow_nan=False).encode("ascii")


class Pages:
    """The routes and their answers. Owned by the thread of the event loop."""

    def __init__(self, feed: Feed, events: Events, access: Access) -> None:
        """Serves nothing yet.

        Args:
            feed: the data.
            events: the changes.
            access: decides who may look.
        """
        self._feed, self._events, self._access = feed, events, access
        self._snapshot = b""
        self._packing = anyio.Lock()
        self._snapshot_at_s = float("-inf")

    def routes(self) -> list[BaseRoute]:
        """The routes; ``access`` protects those under ``/api``."""
        return [
            Route("/", self._index),
            Route("/healthz", self._health),
            Route("/api/fleet", self._fleet),
            Route("/api/attester/{ueid}", self._attester),
            Route("/api/events", self._follow),
            Route("/api/handles", self._handles),
            Route("/api/keys", self._keys),
            Route("/api/about", self._about),
            Route("/static/texts.js", self._texts),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]

    async def _index(self, _request: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def _texts(self, _request: Request) -> Response:
        return Response(texts_js(), media_type="text/javascript")

    async def _health(self, _request: Request) -> Response:
        """For monitoring: 200, or 503 while the broker is away or the feed does not run."""
        connected = self._feed.is_running and self._feed.is_connected
        return JSONResponse({"broker": connected}, status_code=200 if connected else 503)

    async def _fleet(self, _request: Request) -> Response:
        async with self._packing:  # requests in the meantime wait for the same snapshot
            now_s = clock.monotonic_s()
            if now_s >= self._snapshot_at_s + SNAPSHOT_FOR_S:
                content = snapshot_json(self._feed, self._events.run_id).encode()
                self._snapshot = await anyio.to_thread.run_sync(gzip.compress, content, 1)
                self._snapshot_at_s = now_s
        return Response(
            self._snapshot,
            media_type="application/json",
            headers={"Content-Encoding": "gzip", "Cache-Control": "no-store"},
        )

    async def _attester(self, request: Request) -> Response:
        try:
            device = self._feed.fleet.device(parse_ueid_text(request.path_params["ueid"]))
        except PeerError as error:
            return AsciiJson({"error": error.detail}, status_code=400)
        if device is None:
            return JSONResponse({"error": "no message about this attester was seen"}, status_code=404)
        for_auditor = self._access.role(request) is Role.AUDITOR
        now_s = clock.utc_us() / SECOND_US
        return AsciiJson(detail_of(self._feed.fleet, device, self._feed.handles, now_s, for_auditor=for_auditor))

    async def _follow(self, request: Request) -> Response:
        position = request.headers.get("Last-Event-ID") or request.query_params.get("since", "")
        try:
            events = self._events.open(position)
        except TooManyViewersError:
            return JSONResponse({"error": "too many pages follow already"}, status_code=503)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        if "gzip" not in request.headers.get("Accept-Encoding", ""):
            return StreamingResponse(events, media_type="text/event-stream", headers=headers)
        headers["Content-Encoding"] = "gzip"
        return StreamingResponse(compressed(events), media_type="text/event-stream", headers=headers)

    async def _handles(self, _request: Request) -> Response:
        return AsciiJson(watch_json(self._feed.handles))

    async def _keys(self, _request: Request) -> Response:
        return Response(encode_jwks(self._feed.keys.values()), media_type="application/jwk-set+json")

    async def _about(self, request: Request) -> Response:
        """The data that the page needs once: the columns of a row, the meaning of each reason, the user."""
        return AsciiJson(
            {
                "columns": COLUMNS,
                "views": VIEWS,
                "reasons": reasons_json(),
                "user": self._access.user_json(request),
            }
        )


def make_app(feed: Feed, events: Events, access: Access) -> ASGIApp:
    """The whole application.

    Args:
        feed: the data.
        events: the changes.
        access: decides who may look.
    """
    return Starlette(
        routes=[*Pages(feed, events, access).routes(), *access.routes()],
        middleware=[
            Middleware(HeaderFence),
            Middleware(HostFence, hosts=access.hosts),
            Middleware(GZipMiddleware, compresslevel=5),
            *access.middleware(),
        ],
        max_body_size=MAX_REQUEST_BYTES,
    )
