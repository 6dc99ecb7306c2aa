"""Login: sessions in a signed cookie, roles, and a gate in front of all pages but the login.

A session ends after a fixed time, or with a logout in that browser. For users in the password file it also ends when
they are removed or their password or role changes. The cookie is HttpOnly; SameSite=Lax, because an identity provider
sends browsers back by a navigation from its own site; and Secure where browsers use HTTPS. Requests that change
anything must come from our own page (:class:`relying_party.dashboard.request_checks.HostFence`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs

import anyio
import anyio.to_thread
from prometheus_client import Counter
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import override

from relying_party.dashboard import login_page
from relying_party.dashboard.access import Access, Role
from relying_party.dashboard.login_rate import LoginRate
from relying_party.dashboard.oidc import Provider
from relying_party.dashboard.passwords import MAX_PASSWORD_BYTES, Passwords
from relying_party.dashboard.settings import LOCAL_NAMES, DashboardSettings
from runtime import clock
from runtime.keys import read_file
from runtime.settings import naming
from runtime.telemetry import Logger
from schemas.errors import ConfigError, PeerError, WorldError

COOKIE: Final = "attestream_dashboard"
MIN_SESSION_KEY_BYTES: Final = 32
_LOG: Final = Logger("dashboard")
_LOGINS: Final = Counter("attestream_dashboard_logins_total", "Tries to log in", ["outcome"])
_OPEN_PATHS: Final = ("/login", "/login/oidc", "/login/oidc/callback", "/healthz")
_HASHES_AT_ONCE: Final = 2
_HASHES_WAITING: Final = 16
_MAX_NAME_CHARACTERS: Final = 64
_HOUR_S: Final = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person who is logged in."""

    name: str
    role: Role


class LoginAccess(Access):
    """Requires a login. Owned by the thread of the event loop."""

    def __init__(self, settings: DashboardSettings) -> None:
        """Reads the users and the session key.

        Raises:
            ConfigError: a file is missing or has the wrong content.
        """
        login, web = settings.login, settings.web
        self._hosts: Final = (*LOCAL_NAMES, *web.hosts) if web.hosts or web.is_local else ()
        with naming("login.users_file"):
            self._passwords = Passwords(login.users_file) if login.users_file is not None else None
        self._provider = Provider(settings.oidc) if settings.oidc.is_on else None
        self._rate = LoginRate()
        self._lifetime_s = int(login.session_hours * _HOUR_S)
        self._is_https = web.is_https
        self._hashes = anyio.CapacityLimiter(_HASHES_AT_ONCE)
        if login.session_key_file is None:
            self._session_key = clock.random_bytes(MIN_SESSION_KEY_BYTES).hex()
        else:
            content = read_file(login.session_key_file)
            if len(content) < MIN_SESSION_KEY_BYTES:
                raise ConfigError(f"{login.session_key_file}: {len(content)} bytes, expected at least 32 random ones")
            self._session_key = content.hex()

    @property
    @override
    def hosts(self) -> Sequence[str]:
        return self._hosts

    @override
    def role(self, request: Request) -> Role:
        person: Person = request.scope["person"]
        return person.role

    @override
    def user_json(self, request: Request) -> dict[str, str] | None:
        person: Person = request.scope["person"]
        return {"name": person.name, "role": person.role}

    @override
    def routes(self) -> Sequence[BaseRoute]:
        routes = [
            Route("/login", self._show, methods=["GET"]),
            Route("/login", self._log_in, methods=["POST"]),
            Route("/logout", self._log_out, methods=["POST"]),
        ]
        if self._provider is not None:
            routes += [
                Route("/login/oidc", self._to_provider),
                Route("/login/oidc/callback", self._from_provider, name="oidc_callback"),
            ]
        return routes

    @override
    def middleware(self) -> Sequence[Middleware]:
        return (
            Middleware(
                SessionMiddleware,
                secret_key=self._session_key,
                session_cookie=COOKIE,
                max_age=self._lifetime_s,
                same_site="lax",
                https_only=self._is_https,
            ),
            Middleware(Gate, access=self),
        )

    def person(self, connection: HTTPConnection) -> Person | None:
        """The person behind a request; None without a valid session."""
        session = connection.session
        name, role, at_s = session.get("name"), session.get("role"), session.get("at")
        if not isinstance(name, str) or not isinstance(at_s, int) or clock.utc_s() >= at_s + self._lifetime_s:
            return None
        if session.get("by") == "oidc":
            return Person(name=name, role=Role(role)) if self._provider is not None and role in set(Role) else None
        user = self._passwords.find(name) if self._passwords is not None else None
        if user is None or session.get("version") != user.version:
            return None
        return Person(name=name, role=user.role)

    async def _show(self, _request: Request) -> Response:
        return self._page(login_page.Notice.NONE)

    async def _log_in(self, request: Request) -> Response:
        try:
            form = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=4)
        except ValueError:  # more fields
            form = {}
        name, password = form.get("name", [""])[0], form.get("password", [""])[0]
        address = request.client.host if request.client is not None else ""
        now_s = clock.monotonic_s()
        if self._passwords is None or len(name) > _MAX_NAME_CHARACTERS or len(password) > MAX_PASSWORD_BYTES:
            return self._page(login_page.Notice.WRONG, HTTPStatus.UNAUTHORIZED)
        busy = self._hashes.statistics().tasks_waiting >= _HASHES_WAITING
        if busy or self._rate.wait_s(address, name, now_s) > 0:
            _LOGINS.labels("limited").inc()
            return self._page(login_page.Notice.TOO_OFTEN, HTTPStatus.TOO_MANY_REQUESTS)
        self._rate.tried(address, name, now_s)
        user = self._passwords.find(name)
        matches = await anyio.to_thread.run_sync(self._passwords.matches, user, password, limiter=self._hashes)
        if user is None or not matches:
            _LOGINS.labels("refused").inc()
            _LOG.warning("login-refused", address=address)
            return self._page(login_page.Notice.WRONG, HTTPStatus.UNAUTHORIZED)
        self._rate.succeeded(address, name)
        return self._let_in(request, {"name": user.name, "version": user.version, "by": "password"}, "./")

    def _let_in(self, request: Request, session: dict[str, str], where: str) -> Response:
        request.session.clear()
        request.session.update({**session, "at": clock.utc_s()})
        _LOGINS.labels("accepted").inc()
        return RedirectResponse(where, status_code=HTTPStatus.SEE_OTHER)

    async def _log_out(self, request: Request) -> Response:
        request.session.clear()
        return RedirectResponse("login", status_code=HTTPStatus.SEE_OTHER)

    async def _to_provider(self, request: Request) -> Response:
        if self._provider is None:
            return self._page(login_page.Notice.PROVIDER, HTTPStatus.NOT_FOUND)
        request.session.clear()  # remove the state of an earlier attempt
        try:
            return await self._provider.redirect(request)
        except WorldError as error:
            _LOG.error("provider-unreachable", detail=error.detail)
            return self._page(login_page.Notice.PROVIDER, HTTPStatus.BAD_GATEWAY)

    async def _from_provider(self, request: Request) -> Response:
        if self._provider is None:
            return self._page(login_page.Notice.PROVIDER, HTTPStatus.NOT_FOUND)
        try:
            identity = await self._provider.identity(request)
        except (PeerError, WorldError) as error:
            _LOGINS.labels("refused").inc()
            _LOG.warning("provider-refused", detail=error.detail)
            return self._page(login_page.Notice.PROVIDER, HTTPStatus.UNAUTHORIZED)
        if identity.role is None:
            _LOGINS.labels("no-role").inc()
            return self._page(login_page.Notice.NO_ROLE, HTTPStatus.FORBIDDEN)
        return self._let_in(request, {"name": identity.name, "role": identity.role, "by": "oidc"}, "../../")

    def _page(self, notice: login_page.Notice, status: HTTPStatus = HTTPStatus.OK) -> Response:
        text = login_page.render(
            notice, with_password=self._passwords is not None, with_provider=self._provider is not None
        )
        return HTMLResponse(text, status_code=status)


class Gate:
    """Wraps all routes: without a login a browser gets the login page, and a program gets 401."""

    def __init__(self, app: ASGIApp, access: LoginAccess) -> None:
        """Wraps ``app``."""
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        person = self._access.person(HTTPConnection(scope))
        if person is None and path not in _OPEN_PATHS and not path.startswith("/static/"):
            refusal: Response = (
                JSONResponse({"error": "log in first"}, status_code=HTTPStatus.UNAUTHORIZED)
                if path.startswith("/api/")
                else RedirectResponse("login", status_code=HTTPStatus.SEE_OTHER)
            )
            await refusal(scope, receive, send)
            return
        scope["person"] = person
        await self._app(scope, receive, send)
