"""A fleet of one in which every long-running role is its own process with its metrics page: all parts are real.

Broker, TSA and TPM as in the other tests; then the commands of the operations page. Processes end by their id.
"""

import contextlib
import functools
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from tests.programs.mosquitto import Mosquitto, free_port, running_mosquitto
from tests.programs.swtpm import Swtpm, running_swtpm
from tests.programs.tsa import Tsa, running_tsa
from tests.programs.waiting import PATIENCE_S, stop_process

ROOT: Final = Path(__file__).resolve().parents[2]
POLL_S: Final = 0.05
COMMANDS: Final = {
    "distributor": ("handle_distributor", "run"),
    "endorser": ("endorser", "serve"),
    "verifier": ("verifier_worker", "run"),
    "agent": ("attester_agent", "run"),
}
_SETTINGS: Final = {
    "distributor": """\
name = "clock"
signing_key = "distributor.key"
state_file = "last-handle"
interval_s = 1
lifetime_s = 60
metrics_port = {metrics_port}
[tsa]
urls = ["{tsa_url}"]
roots = ["{tsa_root}"]
max_clock_offset_s = 30
[mqtt]
port = {port}
""",
    "endorser": """\
signing_key = "endorser.key"
registry = "registry.db"
metrics_port = {metrics_port}
[vendors.roots]
nobody = "{tsa_root}"
[mqtt]
port = {port}
""",
    "verifier": """\
name = "verifier-1"
signing_key = "verifier.key"
database = "verifier.db"
audit_log = "audit"
policy = "policy.toml"
metrics_port = {metrics_port}
[audit]
signing_key = "audit.key"
[mqtt]
port = {port}
[trust]
endorser_keys = ["endorser.pub"]
distributor_keys = ["distributor.pub"]
tsa_roots = ["{tsa_root}"]
[tracing]
endpoint = "{tracing}"
""",
    "agent": """\
name = "device-1"
state = "agent.db"
metrics_port = {metrics_port}
[mqtt]
port = {port}
[tpm]
tcti = "{tcti}"
[evidence]
pcrs = "sha256:1-9"
heartbeat_s = 0.5
[trust]
distributor_keys = ["distributor.pub"]
tsa_roots = ["{tsa_root}"]
verifier_keys = ["verifier.pub"]
[sync_stamp]
urls = ["{tsa_url}"]
roots = ["{tsa_root}"]
[tracing]
endpoint = "{tracing}"
""",
}
_POLICY: Final = """\
id = "fleet"
version = 1
pcrs = "sha256:1-9"
reference_values = ["golden"]
deadline_s = 5.0
"""


class FleetRig:
    """One process a role; ``ports`` are those of their metrics pages."""

    def __init__(self, folder: Path, broker: Mosquitto, tsa: Tsa, tpm: Swtpm, tracing: str) -> None:
        self.folder, self.broker = folder, broker
        self.ports = {role: free_port() for role in COMMANDS}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        for role, text in _SETTINGS.items():
            values = {
                "port": broker.port,
                "metrics_port": self.ports[role],
                "tsa_url": tsa.url,
                "tsa_root": tsa.root_file,
                "tcti": tpm.tcti,
                "tracing": tracing,
            }
            (folder / f"{role}.toml").write_text(text.format(**values))
        (folder / "policy.toml").write_text(_POLICY)
        (folder / "pcrs.txt").write_text("".join(f"sha256 {index} {bytes(32).hex()}\n" for index in range(1, 10)))
        self._prepare()

    def _prepare(self) -> None:
        for package, name in (
            ("handle_distributor", "distributor"),
            ("endorser", "endorser"),
            ("verifier_worker", "verifier"),
        ):
            self.command(package, "keygen", "--out", f"{name}.key")
        self.command("verifier_worker", "keygen", "--audit", "--out", "audit.key")
        self.command("attester_agent", "provision", "--config", "agent.toml", "--out", "provisioned")
        self.command(
            "endorser", "endorse", "--key", "endorser.key", "--ueid", "provisioned/attester.ueid",
            "--ak-public", "provisioned/ak.tpmt_public", "--out", "device.endorsement",
        )  # fmt: skip
        self.command(
            "endorser", "reference-values", "--key", "endorser.key", "--name", "golden", "--pcrs", "pcrs.txt",
            "--indices", "1-9", "--out", "golden.reference-values",
        )  # fmt: skip
        self.command(
            "endorser", "publish", "--mqtt-port", str(self.broker.port), "--endorser-key", "endorser.pub",
            "device.endorsement", "golden.reference-values",
        )  # fmt: skip

    def command(self, package: str, *arguments: str) -> str:
        """One command to its end; returns what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", package, *arguments],
            cwd=self.folder,
            env=_environment(),
            check=False,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, role: str) -> None:
        """Starts a role; its log goes to ``ROLE.log``."""
        package, command = COMMANDS[role]
        with (self.folder / f"{role}.log").open("ab") as log:
            self._processes[role] = subprocess.Popen(
                [sys.executable, "-m", package, command, "--config", f"{role}.toml"],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(),
            )

    def stop(self, role: str, how: signal.Signals = signal.SIGTERM) -> None:
        """Ends a role."""
        stop_process(self._processes.pop(role), how, 20.0)

    def stop_all(self) -> None:
        """Ends what runs."""
        for role in list(self._processes):
            self.stop(role)

    def get(self, role: str, path: str) -> tuple[int, str]:
        """What the metrics page of a role answers; status 0 while there is none."""
        try:
            with contextlib.closing(
                http.client.HTTPConnection("127.0.0.1", self.ports[role], timeout=PATIENCE_S)
            ) as asking:
                asking.request("GET", path)
                answer = asking.getresponse()
                return answer.status, answer.read().decode()
        except OSError:
            return 0, ""

    def checks(self, role: str) -> dict[str, dict[str, object]]:
        """The checks of ``/readyz``; none while there is no page."""
        _, body = self.get(role, "/readyz")
        found: dict[str, dict[str, object]] = json.loads(body)["checks"] if body else {}
        return found

    def wait_for(self, wanted: Callable[[], bool], what: str) -> None:
        """Waits until ``wanted``; fails with the logs."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not wanted():
            assert time.monotonic() < deadline_s, f"not seen: {what}\n{self._logs()[-6000:]}"
            time.sleep(POLL_S)

    def _logs(self) -> str:
        written = (self.folder / f"{role}.log" for role in COMMANDS)
        return "\n".join(path.read_text() for path in written if path.exists())

    def wait_until_ready(self, *roles: str) -> None:
        """Waits until ``/readyz`` says 200 for each."""
        for role in roles:
            self.wait_for(functools.partial(self.answers, role, 200), f"{role} ready: {self.checks(role)}")

    def answers(self, role: str, status: int) -> bool:
        """Whether ``/readyz`` answers with this status."""
        return self.get(role, "/readyz")[0] == status


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@contextlib.contextmanager
def fleet_rig(folder: Path, *, tracing: str = "") -> Iterator[FleetRig]:
    """A fleet; no role runs yet. ``folder`` must be short: sockets have long names."""
    for name in ("broker", "tsa", "tpm"):
        (folder / name).mkdir()
    with (
        running_mosquitto(folder / "broker") as broker,
        running_tsa(folder / "tsa") as tsa,
        running_swtpm(folder / "tpm") as tpm,
    ):
        rig = FleetRig(folder, broker, tsa, tpm, tracing)
        try:
            yield rig
        finally:
            rig.stop_all()
