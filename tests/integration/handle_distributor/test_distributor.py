"""The distributor as its own process, on a real broker and the embedded TSA."""

import contextlib
import itertools
import queue
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from handle_distributor.__main__ import main
from runtime.keys import load_public_keys
from runtime.mqtt import Message, MqttConnection, MqttSettings, Session
from runtime.time_stamps.verifier import load_time_stamp_verifier
from schemas import media_types
from schemas.codecs import cmw
from schemas.media_types import Indicator
from schemas.messages.handle import Handle, verify_handle
from schemas.messages.status import parse_unverified_status
from schemas.topics import Topics
from tests.programs.mosquitto import Mosquitto, running_mosquitto
from tests.programs.tsa import misbehaving_tsa, running_tsa, silent
from tests.programs.waiting import PATIENCE_S

pytestmark = pytest.mark.needs("mosquitto", "openssl")

TOPICS = Topics()


class Bench:
    """One distributor's configuration, and what is needed to look at what it publishes."""

    def __init__(self, folder: Path, broker: Mosquitto, urls: list[str], root: Path) -> None:
        self.folder = folder
        self.broker = broker
        self.root = root
        self.log = folder / "log"
        self._urls = urls
        assert main(["keygen", "--out", str(folder / "hd.pem")]) == 0
        self.configure(interval_s=0.2)

    def configure(self, *, interval_s: float) -> None:
        urls = ", ".join(f'"{url}"' for url in self._urls)
        (self.folder / "hd.toml").write_text(
            f'name = "main"\nsigning_key = "hd.pem"\nstate_file = "last-handle"\ninterval_s = {interval_s}\n'
            f'lifetime_s = 7200\n[tsa]\nurls = [{urls}]\nroots = ["{self.root}"]\ntimeout_s = 1.0\n'
            f"max_clock_offset_s = 30\n[mqtt]\nport = {self.broker.port}\n"
        )

    @contextlib.contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """The process; ended with SIGTERM, after which it must have ended in order, unless the test killed it."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "handle_distributor", "run", "--config", str(self.folder / "hd.toml")],
                cwd=Path(__file__).resolve().parents[3],
                stdout=log,
                stderr=log,
            )
        try:
            yield process
        finally:
            process.terminate()
            try:
                status = process.wait(PATIENCE_S)
            finally:
                process.kill()  # nothing where it has ended
        assert status in {0, -signal.SIGKILL}, self.log.read_text()

    @contextlib.contextmanager
    def subscribed(self, topic: str) -> Iterator[queue.Queue[Message]]:
        messages: queue.Queue[Message] = queue.Queue()
        connection = MqttConnection(
            MqttSettings(port=self.broker.port),
            Session(client_id="looker", subscriptions=[topic]),
            on_message=messages.put,
        )
        connection.start()
        try:
            assert connection.wait_subscribed(PATIENCE_S)
            yield messages
        finally:
            connection.stop()

    def verified(self, message: Message) -> Handle:
        raw = cmw.unwrap(message.payload, media_types.HANDLE, Indicator.HANDLE)
        keys = load_public_keys([self.folder / "hd.pub"])
        return verify_handle(raw, keys, load_time_stamp_verifier([self.root]))

    def next_handle(self, messages: "queue.Queue[Message]") -> Handle:
        return self.verified(messages.get(timeout=PATIENCE_S))


@pytest.fixture(name="bench")
def bench_of_one(tmp_path: Path) -> Iterator[Bench]:
    (tmp_path / "broker").mkdir()
    with running_tsa(tmp_path / "tsa") as tsa, running_mosquitto(tmp_path / "broker", persistence=False) as broker:
        yield Bench(tmp_path, broker, [tsa.url], tsa.root_file)


def test_handles_are_published_as_a_chain_and_the_last_is_retained(bench: Bench) -> None:
    with bench.running():
        with bench.subscribed(TOPICS.all_handles) as messages:
            handles = [bench.next_handle(messages) for _ in range(4)]
        with bench.subscribed(TOPICS.handles("main")) as messages:
            message = messages.get(timeout=PATIENCE_S)
    assert message.retained
    assert bench.verified(message).time_us >= handles[-1].time_us
    assert all(handle.claims.previous == before.id for before, handle in itertools.pairwise(handles))
    assert handles == sorted(handles, key=lambda handle: handle.time_us)


def test_after_kill_9_the_chain_goes_on(bench: Bench) -> None:
    with bench.subscribed(TOPICS.handles("main")) as messages:
        with bench.running() as process:
            seen = [bench.next_handle(messages) for _ in range(2)]
            process.kill()
            process.wait(PATIENCE_S)
        stored = (bench.folder / "last-handle").read_bytes()
        with bench.running():
            while seen[-1].raw != stored:  # published again at start, if it had not been before
                seen.append(bench.next_handle(messages))
            again = bench.next_handle(messages)
            while again.id == seen[-1].id:
                again = bench.next_handle(messages)
    assert again.claims.previous == seen[-1].id


def test_a_broker_that_lost_everything_gets_the_handle_again(bench: Bench) -> None:
    bench.configure(interval_s=3600)
    with bench.running():
        with bench.subscribed(TOPICS.handles("main")) as messages:
            first = bench.next_handle(messages)
        bench.broker.kill()
        bench.broker.start()
        with bench.subscribed(TOPICS.handles("main")) as messages:
            assert bench.next_handle(messages).id == first.id


def test_a_broker_that_comes_late_gets_the_handle(bench: Bench) -> None:
    bench.configure(interval_s=3600)
    bench.broker.stop()
    with bench.running() as process:
        while not (bench.folder / "last-handle").exists():
            with contextlib.suppress(subprocess.TimeoutExpired):
                pytest.fail(f"ended with {process.wait(0.02)}: {bench.log.read_text()}")
        bench.broker.start()
        with bench.subscribed(TOPICS.handles("main")) as messages:
            assert bench.next_handle(messages).raw == (bench.folder / "last-handle").read_bytes()


def test_everyone_can_see_whether_the_distributor_is_there(bench: Bench) -> None:
    with bench.subscribed(TOPICS.all_status) as messages:

        def wait_for(*, online: bool) -> None:
            """A status may come twice: the last will beside the goodbye, where the broker saw the end first."""
            payload = messages.get(timeout=PATIENCE_S).payload
            while parse_unverified_status(cmw.unwrap(payload, media_types.STATUS, None)).online is not online:
                payload = messages.get(timeout=PATIENCE_S).payload

        with bench.running():
            wait_for(online=True)
        wait_for(online=False)
        with bench.running() as process:
            wait_for(online=True)
            process.kill()
            process.wait(PATIENCE_S)
            wait_for(online=False)


def test_the_next_tsa_is_used_when_the_first_is_silent(tmp_path: Path) -> None:
    (tmp_path / "broker").mkdir()
    with (
        misbehaving_tsa(silent) as silent_url,
        running_tsa(tmp_path / "tsa") as tsa,
        running_mosquitto(tmp_path / "broker", persistence=False) as broker,
    ):
        bench = Bench(tmp_path, broker, [silent_url, tsa.url], tsa.root_file)
        with bench.running(), bench.subscribed(TOPICS.all_handles) as messages:
            bench.next_handle(messages)
    assert f"tsa={silent_url} reason=tsa-timeout" in bench.log.read_text()
