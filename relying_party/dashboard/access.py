"""Who may look, and at what: anybody on this machine, or whoever logged in, by role."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, Protocol

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.routing import BaseRoute

from relying_party.dashboard.settings import LOCAL_NAMES, DashboardSettings


class Role(StrEnum):
    """What somebody may see.

    viewer: the fleet. auditor: also raw results, claims and unexpected files.
    """

    VIEWER = "viewer"
    AUDITOR = "auditor"


class Access(Protocol):
    """Decides about requests. Routes that it does not add are behind its middleware."""

    hosts: Sequence[str]

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
        self.hosts: Final = (*LOCAL_NAMES, *settings.web.hosts)

    def role(self, request: Request) -> Role:
        """An auditor: whoever is on this machine can subscribe to the broker anyway."""
        _ = request
        return Role.AUDITOR

    def user_json(self, request: Request) -> dict[str, str] | None:
        """Nobody logs in."""
        _ = request
        return None

    def routes(self) -> Sequence[BaseRoute]:
        """None."""
        return ()

    def middleware(self) -> Sequence[Middleware]:
        """None."""
        return ()
