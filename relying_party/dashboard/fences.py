"""What holds for every answer and every request, whoever asks: headers for the browser, our own host names only."""

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
    # To no other host, ever. Without any, a browser hides from us, too, that a form was sent from our own page.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})


class HeaderFence:
    """Puts the security headers on every answer, errors included."""

    def __init__(self, app: ASGIApp) -> None:
        """Stands before ``app``."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-cache")
            await send(message)

        await self._app(scope, receive, with_headers)


class HostFence:
    """Refuses requests under foreign host names, and requests from foreign pages that would change something."""

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        """Stands before ``app``.

        Args:
            app: the rest.
            hosts: the names that are ours, without ports; empty takes any.
        """
        self._app = app
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
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
            return "This server is not called that. If it should be, add the name to web.hosts in its configuration.\n"
        if method in _SAFE_METHODS:
            return ""
        origin, site = headers.get("Origin"), headers.get("Sec-Fetch-Site", "same-origin")
        if site not in {"same-origin", "none"} or (origin is not None and _split(origin).netloc != host):
            return "A request from another page.\n"
        return ""


def _split(url: str) -> SplitResult:
    """An address taken apart; of what is none, one that is nobody's."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")
