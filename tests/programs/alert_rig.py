"""The alert service as a process, with a verifier's key and a test's settings."""

import base64
import contextlib
import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from runtime.clock import utc_s
from runtime.keys import generate_key_pair
from schemas.identifiers import HandleId, Ueid
from schemas.topics import Topics
from schemas.verdicts import Tier, TrustClaim
from tests.fakes.relying_party import ALICE, message_of, result_about
from tests.programs.http_receiver import Received
from tests.programs.mqtt_client import Listener
from tests.programs.waiting import PATIENCE_S, stop_process

ROOT = Path(__file__).resolve().parents[2]
SECRET = base64.b64encode(bytes(range(32))).decode()
PROBE = Ueid(b"\x01" + b"p" * 32)
PROBE_IS_BAD: dict[str, Any] = {"status": Tier.CONTRAINDICATED, "vector": {TrustClaim.EXECUTABLES: 96}}
QUICK = """\
verifier_keys = ["verifier.pub"]
database = "alerts.db"
gather_s = 0.2
log_level = "debug"
{top}
[mqtt]
port = {mqtt_port}
[silence]
settle_s = 1.0
{silence}
{tables}
"""


class AlertRig:
    """A folder with keys and ``alerts.toml``."""

    def __init__(self, folder: Path, mqtt_port: int, *, top: str = "", silence: str = "", tables: str = "") -> None:
        self.folder = folder
        self.verifier = generate_key_pair(folder / "verifier.key")
        self.config = folder / "alerts.toml"
        (folder / "secret").write_text(f"whsec_{SECRET}\n")
        self.write(mqtt_port, top=top, silence=silence, tables=tables)

    def write(self, mqtt_port: int, *, top: str = "", silence: str = "", tables: str = "") -> None:
        """Writes the settings."""
        self.config.write_text(QUICK.format(mqtt_port=mqtt_port, top=top, silence=silence, tables=tables))

    def result(self, ueid: Ueid = ALICE, **changes: object) -> tuple[str, bytes]:
        """Topic and payload of a result issued now."""
        now_s = utc_s()
        made = result_about(
            ueid, **{"issued_s": now_s, "expires_s": now_s + 300, "handle": HandleId(bytes(32)), **changes}
        )
        return Topics().results(ueid), message_of(made, self.verifier)

    def command(self, *more: str) -> subprocess.CompletedProcess[str]:
        """Runs ``relying-party alerts`` with further options to its end."""
        return subprocess.run(
            [sys.executable, "-m", "relying_party", "alerts", "--config", str(self.config), *more],
            cwd=ROOT,
            check=False,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )

    @contextlib.contextmanager
    def running(self, how: signal.Signals = signal.SIGTERM) -> Iterator["subprocess.Popen[bytes]"]:
        """The running service, ended by the signal ``how``; its log lines go to ``alerts.log``."""
        with (self.folder / "alerts.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "relying_party", "alerts", "--config", str(self.config)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        try:
            yield process
        finally:
            stop_process(process, how, PATIENCE_S)

    def wait_subscribed(self, client: Listener) -> None:
        """Waits until the service receives results: until it has reported the test's own retained one."""
        client.publish(*self.result(PROBE, **PROBE_IS_BAD), retain=True)
        client.wait_for(
            lambda messages: any(topic == Topics().alerts(PROBE) for topic, _ in messages), f"the probe\n{self.log()}"
        )

    def log(self) -> str:
        """The service's log lines."""
        return (self.folder / "alerts.log").read_text()


def webhook(name: str, url: str, more: str = "") -> str:
    """A table of the settings."""
    return f'[[webhooks]]\nname = {json.dumps(name)}\nurl = {json.dumps(url)}\nsecret_file = "secret"\n{more}\n'


def verified_by_hand(request: Received, secret: str = SECRET) -> Mapping[str, object]:
    """Verifies a webhook by the text of Standard Webhooks, without our own code; returns ``data`` of the body."""
    signed = b".".join([request.headers["webhook-id"].encode(), request.headers["webhook-timestamp"].encode()])
    code = hmac.digest(base64.b64decode(secret), signed + b"." + request.body, hashlib.sha256)
    assert request.headers["webhook-signature"].split() == ["v1," + base64.b64encode(code).decode()]
    assert abs(int(request.headers["webhook-timestamp"]) - utc_s()) < 300
    assert request.json["data"]["id"] == request.headers["webhook-id"]
    data: Mapping[str, object] = request.json["data"]
    return data
