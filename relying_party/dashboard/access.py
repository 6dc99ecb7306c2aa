"""Who may look, and at what: anybody on this machine, or whoever logged in, by role."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, Protocol

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.routing import BaseRoute
from typing_extensions import override

from relying_party.dashboard.settings import LOCAL_NAMES, DashboardSettings


class Role(StrEnum):
    """What somebody may see.

    viewer: the fleet. auditor: also raw results, claims and unexpected files.
    """

    VIEWER = "viewer"
    AUDITOR = "auditor"


class Access(Protocol):
    """Decides about requests. Routes that it does not add are behind its middleware."""

    @property
    def hosts(self) -> Sequence[str]:
        """The names under which browsers may call this server; empty for any."""

    def role(self, request: Request) -> Role:
        """Of whoever asks; its middleware has let the request through."""

    def user_json(self, request: Request) -> dict[str, str] | None:
        """Name and role of whoever asks; None where nobody logs in."""

    def routes(self) -> Sequence[BaseRoute]:
        """Its own pages."""

    def middleware(self) -> Sequence[Middleware]:
        """What stands before all routes."""


class OpenAccess(Access):
    """Everybody on this machine may see everything: for the loopback alone."""

    def __init__(self, settings: DashboardSettings) -> None:
        """Knows only the local host names, and those that the settings add."""
        self._hosts: Final = (*LOCAL_NAMES, *settings.web.hosts)

    @property
    @override
    def hosts(self) -> Sequence[str]:
        """The local ones, and those of the settings."""
        return self._hosts

    @override
    def role(self, request: Request) -> Role:
        """An auditor: whoever is on this machine can subscribe to the broker anyway."""
        _ = request
        return Role.AUDITOR

    @override
    def user_json(self, request: Request) -> dict[str, str] | None:
        """Nobody logs in."""
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
