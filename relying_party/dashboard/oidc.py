"""Login by an OpenID Connect provider: authorization code with PKCE, and an ID token that the provider signed for us.

The only importer of Authlib. It accepts an ID token of the configured issuer (whose keys come from its metadata), for
our client id, with the nonce of this login. The configured claim states the role; without a role nobody gets in.
"""

import warnings
from dataclasses import dataclass
from typing import Final

import httpx
from starlette.requests import Request
from starlette.responses import Response

from relying_party.dashboard.access import Role
from relying_party.dashboard.settings import OidcSettings
from runtime.keys import read_file
from schemas.errors import PeerError, WorldError
from schemas.reasons import Reason

with warnings.catch_warnings(record=True):  # it warns that it will change its HTTP client
    from authlib.common.errors import AuthlibBaseError
    from authlib.integrations.starlette_client import OAuth
    from joserfc.errors import JoseError

_TIMEOUT_S: Final = 10.0
_NAME_CHARACTERS: Final = 64
_MAX_ROLES: Final = 1000
# The libraries raise all of these for a wrong answer of the provider.
_REFUSALS: Final = (AuthlibBaseError, JoseError, ValueError, KeyError, TypeError, RuntimeError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A person whom the provider has identified; without a role they may see nothing."""

    name: str
    role: Role | None


class Provider:
    """One provider. Owned by the thread of the event loop."""

    def __init__(self, settings: OidcSettings) -> None:
        """Does not contact the provider yet.

        Raises:
            ConfigError: the secret's file cannot be read.
        """
        self._settings = settings
        secret = settings.client_secret_file
        self._client = OAuth().register(
            "oidc",
            client_id=settings.client_id,
            client_secret=read_file(secret).decode("utf-8", "replace").strip() if secret is not None else None,
            server_metadata_url=f"{settings.issuer.rstrip('/')}/.well-known/openid-configuration",
            client_kwargs={
                "scope": settings.scope,
                "code_challenge_method": "S256",
                "timeout": _TIMEOUT_S,
                "token_endpoint_auth_method": "client_secret_basic" if secret is not None else "none",
            },
        )

    async def redirect(self, request: Request) -> Response:
        """Sends a browser to the provider; state, nonce and PKCE verifier go into its session.

        Raises:
            WorldError: the provider cannot be reached, or its metadata lacks an address.
        """
        where = self._settings.redirect_uri or str(request.url_for("oidc_callback"))
        try:
            response: Response = await self._client.authorize_redirect(request, where)
        except (httpx.HTTPError, *_REFUSALS) as error:
            raise WorldError(Reason.CONFIGURATION_INVALID, f"identity provider: {error}") from error
        return response

    async def identity(self, request: Request) -> Identity:
        """The person who came back with a code.

        Raises:
            PeerError: ``malformed``: the code, the state or the ID token is not valid.
            WorldError: the provider cannot be reached.
        """
        settings = self._settings
        wanted = {
            "iss": {"essential": True, "value": settings.issuer},
            "aud": {"essential": True, "value": settings.client_id},
        }
        try:
            token = await self._client.authorize_access_token(request, claims_options=wanted)
            claims = token["userinfo"]
            name = str(claims.get("preferred_username") or claims.get("email") or claims["sub"])
            roles = claims.get(settings.role_claim)
        except httpx.HTTPError as error:
            raise WorldError(Reason.CONFIGURATION_INVALID, f"identity provider: {error}") from error
        except _REFUSALS as error:
            raise PeerError(Reason.MALFORMED, f"identity provider: {type(error).__name__} {error}") from error
        return Identity(name=name[:_NAME_CHARACTERS], role=_role_of(roles, settings))


def _role_of(claim: object, settings: OidcSettings) -> Role | None:
    listed = claim[:_MAX_ROLES] if isinstance(claim, list) else [claim]
    roles = {each for each in listed if isinstance(each, str)}
    if roles & set(settings.auditors):
        return Role.AUDITOR
    return Role.VIEWER if roles & set(settings.viewers) else None
