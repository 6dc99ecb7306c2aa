"""Protects every request and answer: security headers for the browser, and only our own host names."""

from collections.abc import Collection
from typing import Final
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_DIRECTIVES: Final = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
)
CONTENT_SECURITY_POLICY: Final = "; ".join(_DIRECTIVES)
_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Never to another host. "no-referrer" would also hide from us that a form was sent from our own page.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})


class HeaderFence:
    """Puts the security headers on every answer, errors included."""

    def __init__(self, app: ASGIApp) -> None:
        """Wraps ``app``."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-cache")
            await send(message)

        await self._app(scope, receive, with_headers)


class HostFence:
    """Refuses requests under foreign host names, and requests from foreign pages that could change something."""

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        """Wraps ``app``.

        Args:
            app: the application.
            hosts: our own names, without ports; empty accepts any.
        """
        self._app = app
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] == "http":
            refusal = self._refusal(Headers(scope=scope), scope["method"])
            if refusal:
                await PlainTextResponse(refusal, status_code=403)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, headers: Headers, method: str) -> str:
        host = headers.get("Host", "")
        name = _split(f"//{host}").hostname or ""
        if self._hosts and name not in self._hosts:
            return (
                "This server does not have that name. If it should, add the name to web.hosts in its configuration.\n"
            )
        if method in _SAFE_METHODS:
            return ""
        origin, site = headers.get("Origin"), headers.get("Sec-Fetch-Site", "same-origin")
        if site not in {"same-origin", "none"} or (origin is not None and _split(origin).netloc != host):
            return "A request from another page.\n"
        return ""


def _split(url: str) -> SplitResult:
    """``urlsplit(url)``; an empty ``SplitResult`` if ``url`` is not a valid URL."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")
