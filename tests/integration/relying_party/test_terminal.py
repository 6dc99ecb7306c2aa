"""``watch``, ``show`` and ``results`` as processes on a real broker and a real pseudo-terminal."""

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.clock import utc_s
from runtime.keys import generate_key_pair
from schemas.identifiers import Ueid, ueid_text
from schemas.topics import Topics
from schemas.verdicts import Tier, TrustClaim
from tests.fakes.relying_party import ALICE, BOB, message_of, result_about
from tests.programs.mosquitto import Mosquitto, running_mosquitto
from tests.programs.mqtt_client import listening
from tests.programs.waiting import PATIENCE_S

pytestmark = pytest.mark.needs("mosquitto")
ROOT = Path(__file__).resolve().parents[3]


class Stage:
    """A broker that retains results about Alice (affirming) and Bob (contraindicated)."""

    def __init__(self, folder: Path, broker: Mosquitto) -> None:
        self.key, self.broker, self.folder = generate_key_pair(folder / "v.key"), broker, folder
        self.trust = ["--verifier-key", str(folder / "v.pub"), "--port", str(broker.port)]

    def publish(self, ueid: Ueid, **changes: object) -> None:
        """Publishes a retained result issued now."""
        now_s = utc_s()
        result = result_about(ueid, **{"issued_s": now_s, "expires_s": now_s + 600, **changes})
        with listening(self.broker.port) as client:
            client.publish(Topics().results(ueid), message_of(result, self.key), retain=True)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end."""
        command = [sys.executable, "-m", "relying_party", *arguments, *self.trust]
        return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=PATIENCE_S)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with running_mosquitto(tmp_path) as broker:
        made = Stage(tmp_path, broker)
        made.publish(ALICE, claims={"label": "rack-1"})
        bad = {"reasons": ("file-unexpected",), "unexpected": ("/usr/bin/evil",), "claims": {"label": "rack-2"}}
        made.publish(BOB, status=Tier.CONTRAINDICATED, vector={TrustClaim.EXECUTABLES: 96}, **bad)
        yield made


def test_show_says_by_its_exit_status_what_stands(stage: Stage) -> None:
    good, bad = stage.run("show", "rack-1"), stage.run("show", ueid_text(BOB))
    assert (good.returncode, bad.returncode) == (0, 1)
    assert "/usr/bin/evil" in bad.stdout
    assert "\x1b" not in bad.stdout
    unknown = stage.run("show", "nobody")
    assert unknown.returncode == 3
    assert "2 attesters" in unknown.stderr
    assert ueid_text(ALICE) in unknown.stderr
    ambiguous = stage.run("show", "rack")
    assert ambiguous.returncode == 2
    assert ueid_text(BOB) in ambiguous.stderr
    assert json.loads(stage.run("show", "rack-2", "--json").stdout)["unexpected"] == ["/usr/bin/evil"]


def test_results_once_prints_what_is_retained_and_ends(stage: Stage) -> None:
    everything = stage.run("results", "--once", "--json")
    assert everything.returncode == 0
    assert {json.loads(line)["status"] for line in everything.stdout.splitlines()} == {"affirming", "contraindicated"}
    some = stage.run("results", "--once", "--json", "--reason", "file-unexpected")
    assert [json.loads(line)["ueid"] for line in some.stdout.splitlines()] == [ueid_text(BOB)]


def test_results_that_are_not_believed_are_no_success(stage: Stage) -> None:
    generate_key_pair(stage.folder / "other.key")
    stage.trust[1] = str(stage.folder / "other.pub")
    done = stage.run("results", "--once")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "2 messages refused" in done.stderr


def test_a_fleet_that_goes_on_pushing_keeps_no_command_from_its_end(stage: Stage) -> None:
    """The command waits for retained results only; a live fleet never stops sending."""
    ended = threading.Event()

    def push() -> None:
        with listening(stage.broker.port) as client:
            while not ended.wait(0.2):
                result = result_about(BOB, issued_s=utc_s(), expires_s=utc_s() + 600)
                client.publish(Topics().results(BOB), message_of(result, stage.key), retain=True)

    pushing = threading.Thread(target=push)
    pushing.start()
    try:
        assert stage.run("show", "rack-1").returncode == 0
        assert stage.run("results", "--once").returncode == 0
    finally:
        ended.set()
        pushing.join()


def test_a_reason_that_is_misspelt_is_no_empty_answer(stage: Stage) -> None:
    done = stage.run("results", "--once", "--reason", "file-unexpeted")
    assert done.returncode == 2
    assert "--reason: there is no 'file-unexpeted'; did you mean file-unexpected?" in done.stderr


def test_a_password_without_a_name_is_refused(stage: Stage) -> None:
    done = stage.run("watch", "--seconds", "5", "--password-file", "password")
    assert done.returncode == 2
    assert "password_file: password, but no username" in done.stderr


def test_options_stand_above_the_file(stage: Stage) -> None:
    config = stage.folder / "rp.toml"
    config.write_text('verifier_keys = ["v.pub"]\n[mqtt]\nport = 1\n')
    command = [sys.executable, "-m", "relying_party", "results", "--once", "--config", str(config)]
    command += ["--port", str(stage.broker.port)]
    ended = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=PATIENCE_S)
    assert ended.returncode == 0
    assert len(ended.stdout.splitlines()) == 2


class Terminal:
    """A pseudo-terminal with ``watch`` in it."""

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.seen = b""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "relying_party", *arguments],
            cwd=ROOT,
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "24", **environment},
            start_new_session=True,
        )

    def wait_for(self, text: str) -> bytes:
        """Reads until ``text`` is on the screen."""
        deadline_s = time.monotonic() + PATIENCE_S
        start = len(self.seen)
        while text.encode() not in self.seen[start:]:
            left_s = deadline_s - time.monotonic()
            assert left_s > 0, f"not seen: {text}; {self.seen[-2000:]!r}"
            if select.select([self.master], [], [], left_s)[0]:
                self.seen += os.read(self.master, 65_536)
        return self.seen[start:]

    def press(self, keys: bytes) -> None:
        """Types."""
        os.write(self.master, keys)

    def end(self) -> int:
        """Waits for the end, and reads the screen meanwhile, so that the command never waits for a reader."""
        deadline_s = time.monotonic() + PATIENCE_S
        while self.process.poll() is None and time.monotonic() < deadline_s:
            if select.select([self.master], [], [], 0.1)[0]:
                self.seen += os.read(self.master, 65_536)
        assert self.process.poll() is not None
        return self.process.returncode


@contextlib.contextmanager
def terminal(stage: Stage, *arguments: str, **environment: str) -> Iterator[Terminal]:
    """``watch`` for the length of a block."""
    made = Terminal(["watch", *arguments, *stage.trust], environment)
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.process.kill()
            made.process.wait()
        os.close(made.master)
        os.close(made.slave)


def test_the_keys_search_and_filter(stage: Stage) -> None:
    with terminal(stage) as watch:
        watch.wait_for("2 attesters")
        watch.press(b"/rack-2\r")
        watch.wait_for("search 'rack-2'")
        watch.press(b"\x1b")
        watch.wait_for("q quit")
        watch.press(b"ff")
        watch.wait_for("status affirming")
        watch.press(b"q")
        assert watch.end() == 0
        assert termios.tcgetattr(watch.slave) == watch.before


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_terminal_comes_back_however_it_ends(stage: Stage, how: signal.Signals) -> None:
    with terminal(stage) as watch:
        watch.wait_for("2 attesters")
        assert termios.tcgetattr(watch.slave) != watch.before
        watch.process.send_signal(how)
        assert watch.end() == 0
        assert termios.tcgetattr(watch.slave) == watch.before
        assert watch.seen.rstrip().endswith((b"\x1b[?1049l\x1b[?25h", b"\x1b[?25h\x1b[?1049l", b"\x1b[?1049l"))


def test_no_color_is_respected(stage: Stage) -> None:
    with terminal(stage, NO_COLOR="1") as watch:
        watch.wait_for("2 attesters")
        watch.press(b"q")
        watch.end()
        assert b"\x1b[31" not in watch.seen
        assert b"\x1b[1;31" not in watch.seen
        assert b"\x1b[32" not in watch.seen
