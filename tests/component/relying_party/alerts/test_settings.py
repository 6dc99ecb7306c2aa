"""Settings of the alert service: the example is valid, and a wrong setting is named before the service starts."""

import base64
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from relying_party.__main__ import main as relying_party
from relying_party.alerts.alert_text import webhook_body
from relying_party.alerts.settings import ROLE, AlertSettings, RuleSettings
from relying_party.alerts.webhook_signature import parse_secret, signed_headers
from runtime import settings as settings_files
from runtime.keys import generate_key_pair
from schemas.messages.alert import Alert, AlertKind
from tests.programs.alert_rig import SECRET

ROOT = Path(__file__).resolve().parents[4]
EXAMPLE = (ROOT / "deploy" / "alerts.toml.example").read_text("utf-8")
WEBHOOK = '[[webhooks]]\nname = "a"\nurl = "{url}"\nsecret_file = "secret"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generate_key_pair(tmp_path / "verifier.key")
    (tmp_path / "verifier.jwks").write_bytes((tmp_path / "verifier.pub").read_bytes())
    for name in ("secret", "on-call.secret"):
        (tmp_path / name).write_text(f"whsec_{SECRET}\n")
    return tmp_path


def check(folder: Path, text: str) -> int:
    (folder / "alerts.toml").write_text(text)
    return relying_party(["alerts", "--config", str(folder / "alerts.toml"), "--check-config"])


def minimal(more: str, top: str = "") -> str:
    return f'verifier_keys = ["verifier.jwks"]\ndatabase = "alerts.db"\n{top}\n{more}'


def test_the_example_is_right_and_its_comments_tell_the_defaults(folder: Path) -> None:
    assert check(folder, EXAMPLE) == 0
    assert not (folder / "alerts.db").exists()
    active = settings_files.load(folder / "alerts.toml", AlertSettings, ROLE)
    shown = [line[2:].partition(" #")[0] for line in EXAMPLE.splitlines() if line.startswith("# ") and " = " in line]
    for name, value in (("hold_s", RuleSettings(name="x").hold_s), ("gather_s", active.gather_s)):
        assert f"{name} = {value}" in [each.strip() for each in shown]
    assert f"max_queued = {active.max_queued}" in [each.strip() for each in shown]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (minimal(WEBHOOK.format(url="http://10.0.0.1/x")), "http to another machine"),
        (minimal(WEBHOOK.format(url="file:///etc/passwd")), "expected https://"),
        (minimal(WEBHOOK.format(url="https://u:secret@host/")), "neither a password"),
        (minimal(WEBHOOK.format(url="https://host:99999/")), "url"),
        (minimal(WEBHOOK.format(url="https://h/") * 2), "two have this name"),
        (minimal('[[rules]]\nname = "r"\nto = ["bad"]\n'), "to: 'bad'"),
        (minimal('[[rules]]\nname = "r"\nreceivers = ["nobody"]\n'), "'nobody', known are mqtt"),
        (minimal('[[rules]]\nname = "r r"\n'), "name"),
        (minimal('[[rules]]\nname = "r"\n[[rules]]\nname = "r"\n'), "rules: two have the same name"),
        (minimal("", "publish = false"), "no receiver"),
        (minimal("[storm]\nattesters = 0\n"), "storm.attesters"),
        (minimal("", "gather_s = 0.0"), "gather_s"),
        (minimal("", "nonsense = 1"), "nonsense: unknown key"),
        (minimal("", 'log_level = "loud"'), "log_level"),
        (minimal(WEBHOOK.format(url="https://h/").replace('"secret"', '"none"')), "secret_file"),
        (minimal("").replace("verifier.jwks", "none.jwks"), "verifier_keys"),
        (minimal("").replace("alerts.db", "no/such/alerts.db"), "database"),
        (minimal('[[alertmanagers]]\nname = "am"\nurl = "http://127.0.0.1:9093"\nstands_s = 60.0\n'), "stands_s"),
    ],
)
def test_nonsense_is_named(folder: Path, capsys: pytest.CaptureFixture[str], text: str, said: str) -> None:
    assert check(folder, text) == 2
    assert said in capsys.readouterr().err


def test_a_second_process_and_what_was_given_up(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "alerts.toml").write_text(minimal(WEBHOOK.format(url="https://h/")))
    command = ["alerts", "--config", str(folder / "alerts.toml")]
    assert relying_party([*command, "--failed"]) == 0
    assert relying_party([*command, "--test"]) == 0
    assert relying_party([*command, "--retry"]) == 0
    assert relying_party([*command, "--failed"]) == 0
    assert "queued for a, mqtt" in capsys.readouterr().out


def example_receiver() -> ModuleType:
    spec = importlib.util.spec_from_file_location("receiver", ROOT / "docs" / "examples" / "alert_receiver.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_receiver_in_the_documentation_verifies() -> None:
    receiver = example_receiver()
    body = webhook_body(Alert(id="0a", kind=AlertKind.TEST, made_s=1, summary="s", next_step="n"))
    headers = signed_headers(parse_secret(SECRET), "0a", 1000, body)
    assert receiver.verify(headers, body, f"whsec_{SECRET}\n", 1000.0)["id"] == "0a"
    other = base64.b64encode(bytes(32)).decode()
    for changed in (
        (headers, body + b" ", SECRET, 1000.0),
        (headers, body, other, 1000.0),
        (headers, body, SECRET, 1301.0),
        ({**headers, "webhook-id": "0b"}, body, SECRET, 1000.0),
    ):
        with pytest.raises(ValueError, match=r"signed|sent"):
            receiver.verify(*changed)
    page = (ROOT / "docs" / "alerts.md").read_text("utf-8")
    shown = page.partition("```python\n")[2].partition("```")[0].splitlines()[1:-1]
    source = (ROOT / "docs" / "examples" / "alert_receiver.py").read_text("utf-8")
    assert [line for line in shown if line.partition("  #")[0] not in source] == []


def test_the_example_receiver_says_how_it_is_called() -> None:
    command = [sys.executable, str(ROOT / "docs" / "examples" / "alert_receiver.py")]
    done = subprocess.run(
        command, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "alert_receiver.py SECRET_FILE VERIFIER_KEYS PORT" in done.stderr
    assert "Traceback" not in done.stderr
