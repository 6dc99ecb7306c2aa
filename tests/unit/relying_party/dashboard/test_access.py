"""Settings, passwords and login attempts that the dashboard refuses."""

from pathlib import Path

import pytest

from relying_party.__main__ import main
from relying_party.dashboard import passwords
from relying_party.dashboard.access import Role
from relying_party.dashboard.login_rate import FAILURES_OF_ADDRESS, FAILURES_OF_PAIR, MAX_KEYS, WINDOW_S, LoginRate
from relying_party.dashboard.oidc import _role_of
from relying_party.dashboard.passwords import Passwords, add_user, load_users, remove_user
from relying_party.dashboard.rows import reasons_json
from relying_party.dashboard.settings import DashboardSettings, OidcSettings
from runtime.keys import generate_key_pair
from runtime.settings import load
from schemas.errors import ConfigError
from schemas.reasons import Reason
from schemas.verdicts import TrustClaim

ROOT = Path(__file__).resolve().parents[4]
PASSWORD = "correct horse battery"


def settings_of(folder: Path, text: str) -> DashboardSettings:
    path = folder / "dashboard.toml"
    path.write_text(f'verifier_keys = ["verifier.pub"]\n{text}')
    return load(path, DashboardSettings, "relying-party-dashboard")


@pytest.mark.parametrize("listen", ["0.0.0.0:8080", "[::]:8080", "192.0.2.7:80", "dashboard.example:8080"])
def test_whoever_listens_to_others_must_have_a_login(tmp_path: Path, listen: str) -> None:
    with pytest.raises(ConfigError, match=r"dashboard-user add NAME"):
        settings_of(tmp_path, f'[web]\nlisten = "{listen}"\n')
    assert settings_of(tmp_path, f'[web]\nlisten = "{listen}"\n[login]\nusers_file = "users"\n').has_login


@pytest.mark.parametrize("listen", ["127.0.0.1:8080", "127.0.0.53:1", "[::1]:0", "localhost:8080"])
def test_the_loopback_needs_none(tmp_path: Path, listen: str) -> None:
    assert not settings_of(tmp_path, f'[web]\nlisten = "{listen}"\n').has_login


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[web]\nlisten = "127.0.0.1"\n', "listen"),
        ('[web]\nlisten = "127.0.0.1:99999"\n', "listen"),
        ('[web]\nlisten = ":80"\n', "listen"),
        ('[web]\ncertificate_file = "x"\n', "key_file"),
        ("[web]\nmax_viewers = 0\n", "max_viewers"),
        ("[login]\nsession_hours = 0\n", "session_hours"),
        ("[login]\nsession_hours = 9999\n", "session_hours"),
        ('[trust]\ntsa_roots = ["x"]\n', "distributor_keys"),
        ('[oidc]\nissuer = "http://idp.example"\nclient_id = "x"\nviewers = ["y"]\n', "issuer"),
        ('[oidc]\nissuer = "https://idp.example"\nviewers = ["y"]\n', "client_id"),
        ('[oidc]\nissuer = "https://idp.example"\nclient_id = "x"\n', "auditors"),
        ('[web]\nlisten_to = "x"\n', "listen_to"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        settings_of(tmp_path, text)


def test_the_example_is_read(tmp_path: Path) -> None:
    example = (ROOT / "deploy" / "dashboard.toml.example").read_text("utf-8")
    lines = [
        line.removeprefix("# ") if line.startswith("# ") and " = " in line else line for line in example.splitlines()
    ]
    path = tmp_path / "dashboard.toml"
    path.write_text("\n".join(lines))
    settings = load(path, DashboardSettings, "relying-party-dashboard")
    assert settings.has_login
    assert settings.oidc.is_on


def test_the_configuration_can_be_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "_MEMORY_KIB", 64)  # its cost is for guessers
    generate_key_pair(tmp_path / "verifier.key")
    settings_of(tmp_path, '[login]\nusers_file = "users"\n')
    check = ["dashboard", "--config", str(tmp_path / "dashboard.toml"), "--check-config"]
    assert main(check) == 2
    assert "login.users_file: " in capsys.readouterr().err
    add_user(tmp_path / "users", "ann", Role.AUDITOR, PASSWORD)
    assert main(check) == 0
    assert main([*check, "--listen", "127.0.0.1:1"]) == 0, "options stand above the file"
    assert main([*check, "--listen", "nonsense"]) == 2
    assert "listen: 'nonsense'" in capsys.readouterr().err


def test_passwords_are_checked_and_users_come_and_go(tmp_path: Path) -> None:
    path = tmp_path / "users"
    assert add_user(path, "ann", Role.AUDITOR, PASSWORD)
    assert add_user(path, "vera", Role.VIEWER, PASSWORD)
    users = Passwords(path)
    ann = users.find("ann")
    assert ann is not None
    assert users.matches(ann, PASSWORD)
    assert not users.matches(ann, PASSWORD + " ")
    assert not users.matches(None, PASSWORD)
    assert not users.matches(ann, "x" * 2000)
    assert not add_user(path, "ann", Role.VIEWER, "another password")
    changed = users.find("ann")
    assert changed is not None
    assert changed.version != ann.version
    remove_user(path, "ann")
    assert users.find("ann") is None
    assert [user.name for user in load_users(path)] == ["vera"]
    assert PASSWORD not in path.read_text()


@pytest.mark.parametrize(
    ("name", "password"), [("a:b", PASSWORD), ("", PASSWORD), ("ann", "short"), ("ann", "é" * 600)]
)
def test_names_and_passwords_that_will_not_do(tmp_path: Path, name: str, password: str) -> None:
    with pytest.raises(ConfigError):
        add_user(tmp_path / "users", name, Role.VIEWER, password)
    assert not (tmp_path / "users").exists()


@pytest.mark.parametrize(
    "line", ["ann", "ann:boss:$argon2id$x", "ann:viewer:plain", "ann:viewer:$argon2id$x\nann:viewer:$argon2id$x"]
)
def test_a_broken_password_file_is_named_by_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "users"
    path.write_text(f"# people\n{line}\n")
    with pytest.raises(ConfigError, match=r"line [23]"):
        load_users(path)


def test_tries_are_limited_by_pair_and_by_address() -> None:
    rate = LoginRate()
    for _ in range(FAILURES_OF_PAIR):
        assert rate.wait_s("here", "ann", 0) == 0
        rate.tried("here", "ann", 0)
    assert rate.wait_s("here", "ann", 1) == WINDOW_S - 1
    assert rate.wait_s("there", "ann", 1) == 0, "a stranger elsewhere does not lock her out"
    assert rate.wait_s("here", "ann", WINDOW_S) == 0
    for number in range(FAILURES_OF_ADDRESS):
        rate.tried("here", f"guess {number}", WINDOW_S)
    assert rate.wait_s("here", "vera", WINDOW_S + 1) > 0
    rate = LoginRate()
    for _ in range(100):
        rate.tried("office", "ann", 0)
        rate.succeeded("office", "ann")
    assert rate.wait_s("office", "ann", 0) == 0, "who knows the password is no guesser"


def test_the_counters_of_tries_are_bounded() -> None:
    rate = LoginRate()
    for number in range(MAX_KEYS):
        rate.tried(f"address {number}", "ann", 0)
    assert len(rate._failures) == MAX_KEYS


def test_every_reason_is_explained_and_its_claims_exist() -> None:
    words = reasons_json()
    assert set(words) == {reason.value for reason in Reason}
    labels = {claim.label for claim in TrustClaim}
    for meaning, claims, next_step in words.values():
        assert isinstance(claims, list)
        assert set(claims) <= labels
        assert str(meaning)[0].isupper()
        assert str(next_step).endswith(".")


@pytest.mark.parametrize("said", [{"a": 1}, [["a"]], None, 7, [], "x"])
def test_a_role_claim_that_is_anything_gives_no_role(said: object) -> None:
    settings = OidcSettings(auditors=("a",), viewers=("b",))
    assert _role_of(said, settings) is None
