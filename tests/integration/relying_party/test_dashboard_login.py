"""Who may look at the dashboard, in a real browser: passwords, roles, an identity provider, and what is refused."""

import contextlib
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from playwright.sync_api import Browser, expect

from relying_party.dashboard.login import COOKIE
from runtime.keys import generate_key_pair
from schemas.identifiers import ueid_text
from tests.programs.dashboard_rig import (
    ROOT,
    Dashboard,
    chromium,
    contraindicated,
    device_hash,
    looking,
    running_dashboard,
    started,
    ueid_of,
)
from tests.programs.oidc_provider import CLIENT_ID, CLIENT_SECRET, OidcProvider, running_provider
from tests.programs.waiting import PATIENCE_S

pytestmark = pytest.mark.needs("mosquitto", "chromium")
PASSWORD = "correct horse battery"
LISTEN = '[web]\nlisten = "127.0.0.1:0"\n'


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def dashboard_user(*arguments: str, password: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "relying_party", "dashboard-user", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, input=f"{password}\n", cwd=ROOT)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Dashboard]:
    users = tmp_path / "users"
    for name, role in (("vera", "viewer"), ("ann", "auditor")):
        added = dashboard_user("add", name, "--role", role, "--file", str(users), password=PASSWORD)
        assert added.returncode == 0, added.stderr
        assert PASSWORD not in added.stdout + added.stderr + users.read_text()
    assert users.stat().st_mode & 0o777 == 0o600
    with running_dashboard(tmp_path, config=f'{LISTEN}[login]\nusers_file = "users"\n') as dashboard:
        dashboard.publish(contraindicated(1))
        yield dashboard


@contextlib.contextmanager
def log_in(url: str, name: str, password: str = PASSWORD) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=PATIENCE_S) as client:
        assert client.post("/login", data={"name": name, "password": password}).status_code == 303
        yield client


def test_nobody_sees_anything_without_a_login(guarded: Dashboard) -> None:
    with httpx.Client(base_url=guarded.url, timeout=PATIENCE_S) as client:
        assert client.get("/").status_code == 303
        paths = ["fleet", "about", "handles", "keys", "events", f"attester/{ueid_text(ueid_of(1))}", "nonsense"]
        assert {path: client.get(f"/api/{path}").status_code for path in paths} == dict.fromkeys(paths, 401)
        assert client.get("/healthz").json() == {"broker": True}
        assert "set-cookie" not in client.get("/login").headers


def test_a_viewer_sees_the_fleet_and_an_auditor_all_of_it(guarded: Dashboard, browser: Browser) -> None:
    with looking(browser) as look:
        page = look.page
        page.goto(guarded.url)
        look.keep("login")
        page.get_by_label("Name").fill("vera")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        expect(page.locator(".body .row")).to_have_count(1)
        cookie = next(each for each in page.context.cookies() if each["name"] == COOKIE)
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
        page.goto(guarded.url + device_hash(1))
        expect(page.locator("#unexpected")).to_be_visible()
        expect(page.locator("main")).not_to_contain_text("/usr/local/bin/unknown")
        expect(page.locator("main")).to_contain_text("Auditors see the raw result")
        page.get_by_role("button", name="log out").click()
        expect(page.get_by_label("Password")).to_be_visible()
        page.get_by_label("Name").fill("ann")
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        expect(page.locator(".body .row")).to_have_count(1)
        page.goto(guarded.url + device_hash(1))
        expect(page.locator("main")).to_contain_text("/usr/local/bin/unknown")
        expect(page.locator("[data-check]")).to_have_attribute("data-check", "verified")
        look.assert_quiet(guarded.url)


def test_roles_hold_for_the_data_not_just_for_the_page(guarded: Dashboard) -> None:
    path = f"/api/attester/{ueid_text(ueid_of(1))}"
    with log_in(guarded.url, "vera") as viewer, log_in(guarded.url, "ann") as auditor:
        seen, everything = viewer.get(path).json(), auditor.get(path).json()
    assert seen["raw"] is None
    assert not {"claims", "verified_claims", "unexpected"} & seen["result"].keys()
    assert "unknown" not in str(seen)
    assert everything["raw"]
    assert everything["result"]["unexpected"] == [["/usr/local/bin/unknown", "ab" * 32]]


def test_a_removed_user_is_out_at_once(guarded: Dashboard, tmp_path: Path) -> None:
    with log_in(guarded.url, "vera") as vera, log_in(guarded.url, "ann") as ann:
        assert vera.get("/api/fleet").status_code == 200
        assert dashboard_user("remove", "vera", "--file", str(tmp_path / "users")).returncode == 0
        assert vera.get("/api/fleet").status_code == 401
        assert ann.get("/api/fleet").status_code == 200
        again = ("add", "ann", "--role", "viewer", "--file", str(tmp_path / "users"))
        assert dashboard_user(*again, password="another password").returncode == 0
        assert ann.get("/api/fleet").status_code == 401


def test_guesses_are_few(guarded: Dashboard) -> None:
    with httpx.Client(base_url=guarded.url, timeout=PATIENCE_S) as client:
        said = [client.post("/login", data={"name": "ann", "password": f"guess {n}"}).status_code for n in range(7)]
        assert said == [401] * 5 + [429] * 2
        assert client.post("/login", data={"name": "ann", "password": PASSWORD}).status_code == 429
        assert client.post("/login", data={"name": "vera", "password": PASSWORD}).status_code == 303


def test_no_other_page_can_log_in_log_out_or_read(guarded: Dashboard) -> None:
    with log_in(guarded.url, "ann") as client:
        foreign = {"Origin": "https://evil.example"}
        assert client.post("/logout", headers=foreign).status_code == 403
        assert client.post("/logout", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
        assert client.get("/api/fleet", headers={"Host": "rebound.example"}).status_code == 403
        assert client.get("/api/fleet").status_code == 200
        assert client.post("/api/fleet").status_code == 405
        forged = httpx.get(
            f"{guarded.url}api/fleet", cookies={COOKIE: client.cookies[COOKIE][:-3] + "AAA"}, timeout=PATIENCE_S
        )
        assert forged.status_code == 401
        assert client.post("/login", content=b"x" * 100_000).status_code == 413


def test_nonsense_before_the_login_is_refused_and_no_error_of_ours(guarded: Dashboard) -> None:
    with httpx.Client(base_url=guarded.url, timeout=PATIENCE_S) as client:
        assert client.get("/login", headers={"Host": "[::1"}).status_code == 403
        assert client.post("/login", headers={"Origin": "https://[::1"}).status_code == 403
        assert client.post("/login", content="&".join(["a=b"] * 9)).status_code == 401
    with log_in(guarded.url, "vera") as client:
        run_id = client.get("/api/fleet").json()["position"].partition("-")[0]
        with client.stream("GET", "/api/events", params={"since": f"{run_id}-{'9' * 5000}"}) as answer:
            assert answer.status_code == 200


@pytest.fixture
def provider() -> Iterator[OidcProvider]:
    with running_provider() as provider:
        yield provider


@pytest.fixture
def federated(tmp_path: Path, provider: OidcProvider) -> Iterator[Dashboard]:
    (tmp_path / "secret").write_text(CLIENT_SECRET)
    config = f"""{LISTEN}[oidc]
issuer = "{provider.issuer}"
client_id = "{CLIENT_ID}"
client_secret_file = "secret"
auditors = ["fleet-auditors"]
viewers = ["fleet-viewers"]
"""
    with running_dashboard(tmp_path, config=config) as dashboard:
        dashboard.publish(contraindicated(1))
        yield dashboard


def test_an_identity_provider_lets_in_who_has_a_role(
    federated: Dashboard, provider: OidcProvider, browser: Browser
) -> None:
    with looking(browser) as look:
        look.page.goto(federated.url)
        look.page.get_by_role("link", name="Log in with your organisation").click()
        expect(look.page.locator(".body .row")).to_have_count(1)
        expect(look.page.locator(".user")).to_contain_text("erin · auditor")
        look.page.goto(federated.url + device_hash(1))
        expect(look.page.locator("main")).to_contain_text("/usr/local/bin/unknown")
        assert look.complaints == []
    provider.roles = ["fleet-viewers", "somebody-else"]
    with looking(browser) as look:
        look.page.goto(f"{federated.url}login/oidc")
        expect(look.page.locator(".user")).to_contain_text("erin · viewer")
    provider.roles = ["somebody-else"]
    with looking(browser) as look:
        look.page.goto(f"{federated.url}login/oidc")
        expect(look.page.get_by_role("alert")).to_contain_text("you have no role here")
        look.page.goto(federated.url)
        expect(look.page.get_by_role("link", name="Log in with your organisation")).to_be_visible()


def come_back(client: httpx.Client) -> httpx.Response:
    """A complete login by a client that follows every redirect."""
    return client.get("/login/oidc", follow_redirects=True)


@pytest.mark.parametrize(
    "change",
    [
        {"nonce": "of another login"},
        {"aud": "another-client"},
        {"iss": "https://another.example"},
        {"exp": 1},
    ],
    ids=["nonce", "audience", "issuer", "expired"],
)
def test_an_id_token_that_is_not_for_us_is_refused(
    federated: Dashboard, provider: OidcProvider, change: dict[str, object]
) -> None:
    provider.tamper = lambda claims: claims.update(change)
    with httpx.Client(base_url=federated.url, timeout=PATIENCE_S) as client:
        assert come_back(client).status_code == 401
        assert client.get("/api/fleet").status_code == 401


def test_an_id_token_by_another_key_is_refused(federated: Dashboard, provider: OidcProvider) -> None:
    provider.published = provider.key
    provider.key = rsa.generate_private_key(65537, 2048)
    with httpx.Client(base_url=federated.url, timeout=PATIENCE_S) as client:
        assert come_back(client).status_code == 401


def test_a_code_without_our_state_is_refused(federated: Dashboard) -> None:
    with httpx.Client(base_url=federated.url, timeout=PATIENCE_S) as client:
        assert client.get("/login/oidc/callback?code=stolen&state=guessed").status_code == 401
        assert client.get("/login/oidc/callback").status_code == 401
        assert client.get("/login/oidc/callback?error=access_denied").status_code == 401


def test_a_provider_that_is_away_is_said_so(tmp_path: Path) -> None:
    config = f'{LISTEN}[oidc]\nissuer = "http://127.0.0.1:9"\nclient_id = "x"\nviewers = ["y"]\n'
    with running_dashboard(tmp_path, config=config) as dashboard:
        answer = httpx.get(f"{dashboard.url}login/oidc", timeout=PATIENCE_S)
        assert answer.status_code == 502
        assert "did not work" in answer.text


@pytest.mark.needs("openssl")
def test_over_https_the_cookie_is_secure(tmp_path: Path) -> None:
    generate_key_pair(tmp_path / "verifier.key")
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    make += [
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        "web.key",
        "-out",
        "web.pem",
    ]
    subprocess.run(make, cwd=tmp_path, check=True, capture_output=True)
    added = dashboard_user("add", "ann", "--role", "viewer", "--file", str(tmp_path / "users"), password=PASSWORD)
    assert added.returncode == 0
    (tmp_path / "dashboard.toml").write_text(
        'verifier_keys = ["verifier.pub"]\n[mqtt]\nport = 9\n[login]\nusers_file = "users"\n'
        '[web]\nlisten = "127.0.0.1:0"\ncertificate_file = "web.pem"\nkey_file = "web.key"\n'
    )
    command = [sys.executable, "-m", "relying_party", "dashboard", "--config", str(tmp_path / "dashboard.toml")]
    trusted = ssl.create_default_context(cafile=str(tmp_path / "web.pem"))
    with (
        started(command, tmp_path / "dashboard.log") as (url, _),
        httpx.Client(base_url=url, verify=trusted, timeout=PATIENCE_S) as client,
    ):
        assert url.startswith("https://")
        answer = client.post("/login", data={"name": "ann", "password": PASSWORD})
        assert answer.status_code == 303
        assert "secure" in answer.headers["set-cookie"].lower()
        assert client.get("/api/fleet").status_code == 200
