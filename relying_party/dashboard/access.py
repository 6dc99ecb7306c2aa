"""Decides who may look, and at what: everybody on this machine, or people who logged in, by role."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, Protocol

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.routing import BaseRoute
from typing_extensions import override

from relying_party.dashboard.settings import LOCAL_NAMES, DashboardSettings


class Role(StrEnum):
    """Decides what a person may see: a viewer the fleet, an auditor also raw results, claims and unexpected files."""

    VIEWER = "viewer"
    AUDITOR = "auditor"


class Access(Protocol):
    """Decides about requests. All routes except its own are behind its middleware."""

    @property
    def hosts(self) -> Sequence[str]:
        """The names by which browsers may call this server; empty for any."""

    def role(self, request: Request) -> Role:
        """The role behind a request that its middleware has let through."""

    def user_json(self, request: Request) -> dict[str, str] | None:
        """Name and role behind a request; None without logins."""

    def routes(self) -> Sequence[BaseRoute]:
        """Its own pages."""

    def middleware(self) -> Sequence[Middleware]:
        """Its middleware, in front of all routes."""


class OpenAccess(Access):
    """Lets everybody on this machine see everything; only for the loopback address."""

    def __init__(self, settings: DashboardSettings) -> None:
        """Accepts the local host names and those in the settings."""
        self._hosts: Final = (*LOCAL_NAMES, *settings.web.hosts)

    @property
    @override
    def hosts(self) -> Sequence[str]:
        """The local names and those in the settings."""
        return self._hosts

    @override
    def role(self, request: Request) -> Role:
        """Always an auditor: everybody on this machine can subscribe to the broker anyway."""
        _ = request
        return Role.AUDITOR

    @override
    def user_json(self, request: Request) -> dict[str, str] | None:
        """None: there are no logins."""
        _ = request
        return None

    @override
    def routes(self) -> Sequence[BaseRoute]:
        """None."""
        return ()

    @override
    def middleware(self) -> Sequence[Middleware]:
        """None."""
        return ()
