"""Runs the demo as a person does: the results are as expected, and however it ends, no process and no file remains."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from tests.programs.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
SCENARIO_SECONDS = 40

pytestmark = pytest.mark.needs("mosquitto", "swtpm", "openssl", "setpriv")


class Demo:
    """One run of the demo, with its own directory for temporary files, so that a test finds the files that remain."""

    def __init__(self, temporary: Path, *arguments: str) -> None:
        self._temporary = temporary
        self.process = subprocess.Popen(
            [sys.executable, "-m", "deploy.demo", "--plain", *arguments],
            cwd=ROOT,
            env=os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.output = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        with self.process:  # closes its output and waits
            self.process.kill()

    def read_until(self, text: str) -> None:
        """Reads lines until one contains ``text``."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line
            if text in line:
                return
        pytest.fail(f"the demo ended before it said {text!r}:\n{self.output}")

    def finish(self) -> int:
        """Waits for the end; returns the exit status."""
        self.output += self.process.communicate(timeout=SCENARIO_SECONDS + 4 * PATIENCE_S)[0]
        return self.process.returncode

    def children(self) -> list[int]:
        """All processes, wherever they belong, that were started with a path in the demo's temporary directory."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                command = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
            except OSError:  # it has just ended
                continue
            if os.fsencode(self._temporary) in command and int(entry.name) != self.process.pid:
                found.append(int(entry.name))
        return found

    def left_behind(self) -> list[str]:
        """Processes and files that outlived the demo."""
        return [f"process {pid}" for pid in self.children()] + [path.name for path in self._temporary.iterdir()]


@pytest.fixture(name="temporary")
def _temporary() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="e2e-") as directory:  # short: sockets lie in it
        yield Path(directory)


def test_the_scenario_comes_out_as_expected(temporary: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    with Demo(temporary, "--attesters", "4", "--seconds", str(SCENARIO_SECONDS), "--report", str(report)) as demo:
        assert demo.finish() == 0, demo.output
        assert demo.left_behind() == []
    content: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    assert content["as_expected"]
    assert content["problem"] is None
    assert content["left_out"] == []
    assert content["restarts"] == {}
    assert all(each["met"] for each in content["expectations"])
    assert content["counts"]["handles"] >= 3
    assert content["counts"]["evidence"] > 4 * SCENARIO_SECONDS / 4
    assert set(content["counts"]["results"]) == {"affirming", "contraindicated", "none"}
    assert content["counts"]["results_refused"] == {}
    attesters = {each["role"]: each for each in content["attesters"].values()}
    assert attesters["silent"]["reasons"][0] == "evidence-overdue"
    assert attesters["replayed"]["refused_as"] == ["evidence-replayed", "quote-signature-invalid", "ueid-mismatch"]
    assert attesters["replayed"]["rejected"] == 3
    assert {role: each["status"] for role, each in attesters.items()} == {
        "tampered": "affirming",
        "rebooted": "affirming",
        "silent": "none",
        "replayed": "affirming",
    }
    assert [each["device"] for each in content["tampered"]] == ["device-1"]


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("Broker", signal.SIGINT),
        ("Verifier", signal.SIGINT),
        ("devices: TPM", signal.SIGINT),
        ("Attesting keys", signal.SIGINT),
        ("everything is up", signal.SIGINT),
        ("affirming", signal.SIGINT),
        ("affirming", signal.SIGTERM),
        ("affirming", signal.SIGHUP),
    ],
)
def test_an_interrupted_demo_leaves_nothing_behind(temporary: Path, said: str, number: signal.Signals) -> None:
    with Demo(temporary, "--attesters", "2") as demo:
        demo.read_until(said)
        demo.process.send_signal(number)
        assert demo.finish() == 130, demo.output
        assert demo.left_behind() == []


def test_an_impatient_ctrl_c_is_quiet_even_where_it_was_ignored_before() -> None:
    command = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", sys.executable, "-X", "importtime", "-m", "deploy.demo"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if line.rstrip().endswith("argparse"))  # the first of many imports
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130
    assert "Traceback" not in rest
    assert "deploy.demo.show" not in rest


def test_a_killed_demo_leaves_no_process_behind(temporary: Path) -> None:
    with Demo(temporary, "--attesters", "2") as demo, contextlib.ExitStack() as stack:
        demo.read_until("affirming")
        waiting = select.poll()
        running = set()
        for pid in demo.children():
            descriptor = os.pidfd_open(pid)
            stack.callback(os.close, descriptor)
            waiting.register(descriptor, select.POLLIN)
            running.add(descriptor)
        assert len(running) >= 8, demo.output
        demo.process.kill()
        while running:
            ended = [descriptor for descriptor, _ in waiting.poll(PATIENCE_S * 1000)]
            assert ended, f"still running: {demo.children()}"
            for descriptor in ended:
                waiting.unregister(descriptor)
                running.remove(descriptor)


def test_a_port_that_is_taken_is_explained(temporary: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with Demo(temporary, "--attesters", "1", "--port", port) as demo:
            assert demo.finish() == 1
    assert f"port {port} of 127.0.0.1 is taken" in demo.output
    assert demo.left_behind() == []


def test_the_dashboard_that_it_announces_follows_the_real_pipeline(temporary: Path) -> None:
    with Demo(temporary, "--attesters", "1") as demo:
        demo.read_until("dashboard, in a browser on this machine: ")
        url = demo.output.rpartition("machine: ")[2].strip()
        demo.read_until("affirming")
        ends_s = time.monotonic() + PATIENCE_S
        rows: list[list[Any]] = []
        while not rows and time.monotonic() < ends_s:
            rows = httpx.get(f"{url}api/fleet", timeout=PATIENCE_S).json()["rows"]
        (distributor,) = httpx.get(f"{url}api/handles", timeout=PATIENCE_S).json()["distributors"]
        demo.process.send_signal(signal.SIGINT)
        demo.finish()
    assert [row[1:3] for row in rows] == [["device-1", "affirming"]]
    assert all(handle["verified"] for handle in distributor["handles"])
    assert demo.left_behind() == []


def test_what_was_kept_can_be_used(temporary: Path, tmp_path: Path) -> None:
    kept = tmp_path / "run"
    with Demo(temporary, "--attesters", "1", "--keep", str(kept)) as demo:
        demo.read_until("affirming")
        demo.process.send_signal(signal.SIGINT)
        demo.finish()
    show = [sys.executable, "-m", "endorser", "show", "--endorser-key", str(kept / "keys" / "endorser.pub")]
    show.append(str(kept / "endorser" / "device-1.corim"))
    shown = subprocess.run(show, cwd=ROOT, check=True, capture_output=True, text=True)
    assert "demo-endorser" in shown.stdout
    command = [sys.executable, "-m", "deploy.demo", "--keep", str(kept)]
    again = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert again.returncode == 2
    assert "not an empty directory" in again.stderr
