"""A small OpenID Connect provider on the loopback: authorization code with PKCE, ID tokens by RS256, one person.

Independent of Authlib: PyJWT signs. It checks what a provider must: client, redirect URI, S256 challenge, one use of a
code. ``tamper`` changes the claims of the next ID tokens.
"""

import base64
import contextlib
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, cast
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from typing_extensions import override

HOST: Final = "127.0.0.1"
CLIENT_ID: Final = "attestream-dashboard"
CLIENT_SECRET: Final = "a secret of the tests"
KEY_ID: Final = "k1"


@dataclass
class OidcProvider:
    """One provider.

    Attributes:
        issuer: its URL.
        roles: what the person has.
        tamper: changes the claims before they are signed.
        key: signs; another one makes forgeries.
        codes: issued and not used: the request each belongs to.
    """

    issuer: str
    roles: list[str] = field(default_factory=lambda: ["fleet-auditors"])
    tamper: Callable[[dict[str, Any]], None] = lambda _claims: None
    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    published: rsa.RSAPrivateKey | None = None

    def metadata(self) -> dict[str, object]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "response_types_supported": ["code"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def jwks(self) -> dict[str, object]:
        public = (self.published or self.key).public_key()
        return {"keys": [{**json.loads(RSAAlgorithm.to_jwk(public)), "kid": KEY_ID, "use": "sig", "alg": "RS256"}]}

    def authorize(self, asked: dict[str, str]) -> str:
        """Where the browser goes next: the person agrees at once."""
        assert asked["client_id"] == CLIENT_ID
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert asked["nonce"]
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def token(self, form: dict[str, str], authorization: str) -> dict[str, object] | None:
        asked = self.codes.pop(form.get("code", ""), None)
        basic = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        plain = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET.replace(' ', '+')}".encode()).decode()
        if asked is None or authorization not in {f"Basic {basic}", f"Basic {plain}"}:
            return None
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(digest).decode().rstrip("=") != asked["code_challenge"]:
            return None
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "sub": "person-1",
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 60,
            "nonce": asked["nonce"],
            "preferred_username": "erin",
            "roles": self.roles,
        }
        self.tamper(claims)
        id_token = jwt.encode(claims, self.key, algorithm="RS256", headers={"kid": KEY_ID})
        return {"access_token": secrets.token_urlsafe(8), "token_type": "Bearer", "id_token": id_token}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        provider = cast("_Server", self.server).provider
        url = urlsplit(self.path)
        if url.path == "/.well-known/openid-configuration":
            self._json(provider.metadata())
        elif url.path == "/jwks":
            self._json(provider.jwks())
        elif url.path == "/authorize":
            where = provider.authorize({name: values[0] for name, values in parse_qs(url.query).items()})
            self.send_response(302)
            self.send_header("Location", where)
            self.end_headers()
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        provider = cast("_Server", self.server).provider
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        answer = provider.token(form, self.headers.get("Authorization", ""))
        self._json(answer or {"error": "invalid_grant"}, 200 if answer else 400)

    def _json(self, content: object, status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    provider: OidcProvider


@contextlib.contextmanager
def running_provider() -> Iterator[OidcProvider]:
    """Serves one on a free port."""
    server = _Server((HOST, 0), _Handler)
    server.provider = OidcProvider(issuer=f"http://{HOST}:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
