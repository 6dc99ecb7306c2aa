"""A real Alertmanager: an alert fires, comes back after Alertmanager lost everything, and is resolved."""

import contextlib
import json
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.clock import utc_s
from schemas.identifiers import ueid_text
from schemas.verdicts import Tier, TrustClaim
from tests.fakes.relying_party import ALICE
from tests.programs.alert_rig import AlertRig
from tests.programs.mosquitto import free_port, running_mosquitto
from tests.programs.mqtt_client import listening
from tests.programs.waiting import PATIENCE_S, stop_process

ROOT = Path(__file__).resolve().parents[3]
TOOLS = ROOT / ".cache" / "tools" / "bin"
EXAMPLE = ROOT / "deploy" / "alertmanager"
BAD: dict[str, Any] = {"status": Tier.CONTRAINDICATED, "vector": {TrustClaim.EXECUTABLES: 96}, "reasons": ("x",)}
TEMPLATES = Path("/usr/share/prometheus/alertmanager/default.tmpl")


def tool(name: str) -> str:
    """A program of Alertmanager; skips the test, naming the program, if it is missing."""
    found = shutil.which(name, path=str(TOOLS)) or shutil.which(name)
    if found is None:
        pytest.skip(f"not on this machine: {name}")
    return found


def with_templates() -> list[str]:
    """The options for Debian's build without its package: it does not start without its templates."""
    if TEMPLATES.is_file() or "debian" not in subprocess.check_output([tool("alertmanager"), "--version"], text=True):
        return []
    script = (
        'mount -t tmpfs none /usr/share && mkdir -p "$0" && cd "$0" && echo >default.tmpl && echo >email.tmpl '
        '&& cd / && exec "$@"'
    )
    alone = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, str(TEMPLATES.parent)]
    if subprocess.run([*alone, "true"], check=False, capture_output=True).returncode:
        pytest.skip(f"not on this machine: {TEMPLATES}, and no namespace to put one in")
    return alone


@contextlib.contextmanager
def alertmanager(folder: Path, port: int) -> Iterator[None]:
    """A new Alertmanager without peers; it forgets everything at its end."""
    folder.mkdir()
    (folder / "config.yml").write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    command = [
        *with_templates(),
        tool("alertmanager"),
        f"--config.file={folder / 'config.yml'}",
        f"--storage.path={folder / 'data'}",
    ]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        stop_process(process, signal.SIGTERM, 10.0)


def alerts_at(port: int) -> list[dict[str, Any]]:
    """The active alerts."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v2/alerts?active=true", timeout=PATIENCE_S) as answer:
            found: list[dict[str, Any]] = json.load(answer)
            return found
    except OSError:
        return []


def wait_for(port: int, wanted: Callable[[list[dict[str, Any]]], bool], what: str, log: Path) -> list[dict[str, Any]]:
    """Asks until ``wanted`` is true; each request takes time, so this does not spin."""
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        found = alerts_at(port)
        if wanted(found):
            return found
        with contextlib.suppress(subprocess.TimeoutExpired):  # nothing on the topic says that Alertmanager has it
            subprocess.run(["tail", "-f", "/dev/null"], check=False, timeout=0.2)
    raise AssertionError(f"not seen: {what}; {alerts_at(port)}\n{log.read_text()[-2000:]}")


@pytest.mark.needs("mosquitto")
def test_an_alert_fires_survives_alertmanager_and_resolves(tmp_path: Path) -> None:
    tool("alertmanager")
    port = free_port()
    tables = f'[[alertmanagers]]\nname = "am"\nurl = "http://127.0.0.1:{port}"\nresend_s = 1.0\n'
    with running_mosquitto(tmp_path) as broker, listening(broker.port) as client:
        rule = '[[rules]]\nname = "all"\nhold_s = 0.5\n'
        rig = AlertRig(tmp_path, broker.port, top="publish = false", tables=rule + tables)
        log = tmp_path / "alerts.log"
        with rig.running():
            with alertmanager(tmp_path / "am1", port):
                client.publish(*rig.result(claims={"label": 'a"\n{{ .x }}'}, **BAD), retain=True)
                (fired,) = wait_for(port, lambda found: len(found) == 1, "it fires", log)
            with alertmanager(tmp_path / "am2", port):
                (again,) = wait_for(port, lambda found: len(found) == 1, "it fires again", log)
                client.publish(*rig.result(issued_s=utc_s() + 1, expires_s=utc_s() + 500), retain=True)
                wait_for(port, lambda found: found == [], "it resolves", log)
    assert fired["labels"] == again["labels"]
    assert fired["labels"]["ueid"] == ueid_text(ALICE)
    assert (fired["labels"]["alertname"], fired["labels"]["severity"]) == ("AttestreamVerdict", "critical")
    assert "contraindicated" in fired["annotations"]["summary"]


def test_the_example_configuration_is_one() -> None:
    checked = subprocess.run(
        [tool("amtool"), "check-config", str(EXAMPLE / "alertmanager.yml")], check=False, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (["severity=critical", "alertname=AttestreamVerdict"], "on-call"),
        (["severity=warning", "alertname=AttestreamVerdict"], "tickets"),
        (["severity=critical", "alertname=AttestreamBrokerLost"], "on-call"),
    ],
)
def test_the_example_sends_alerts_where_it_says(labels: list[str], receiver: str) -> None:
    command = [tool("amtool"), "config", "routes", "test", f"--config.file={EXAMPLE / 'alertmanager.yml'}"]
    tested = subprocess.run([*command, "service=attestream", *labels], check=False, capture_output=True, text=True)
    assert tested.stdout.strip() == receiver, tested.stderr
