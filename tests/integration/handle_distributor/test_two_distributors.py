"""Two distributor processes, one broker, one agent on a software TPM: one is killed, evidence stays fresh."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from handle_distributor.__main__ import main as distributor_main
from runtime.clock import utc_us
from runtime.keys import generate_key_pair, load_public_keys
from runtime.time_stamps.verifier import load_time_stamp_verifier
from schemas import media_types
from schemas.codecs import cmw
from schemas.identifiers import HandleId
from schemas.media_types import Indicator
from schemas.messages.evidence import Evidence
from schemas.messages.handle import Handle, verify_handle
from schemas.time_model import MAX_DRIFT_PPM, age_us, quote_made
from schemas.topics import TopicKind, Topics
from schemas.tpm.attest import parse_attest
from tests.fakes.attester import read_payload
from tests.programs.mosquitto import running_mosquitto
from tests.programs.mqtt_client import Listener, listening
from tests.programs.swtpm import running_swtpm
from tests.programs.tsa import running_tsa
from tests.programs.waiting import PATIENCE_S

pytestmark = pytest.mark.needs("swtpm", "mosquitto", "openssl")

ROOT: Final = Path(__file__).resolve().parents[3]
TOPICS: Final = Topics()
NAMES: Final = ("one", "two")
MAX_AGE_US: Final = 15_000_000


class Scene:
    """What was heard, and how to read it."""

    def __init__(self, folder: Path, tsa_root: Path, client: Listener) -> None:
        self.client = client
        self._keys = load_public_keys([folder / f"{name}.pub" for name in NAMES])
        self._stamps = load_time_stamp_verifier([tsa_root])

    def handles(self) -> dict[HandleId, Handle]:
        """All that were published so far."""
        raws = [
            cmw.unwrap(payload, media_types.HANDLE, Indicator.HANDLE)
            for topic, payload in self.client.messages
            if TOPICS.kind_of(topic) is TopicKind.HANDLES
        ]
        verified = (verify_handle(raw, self._keys, self._stamps) for raw in raws)
        return {handle.id: handle for handle in verified}

    def evidence(self) -> list[Evidence]:
        """All pushes so far."""
        return [
            read_payload(payload)
            for topic, payload in self.client.messages
            if TOPICS.kind_of(topic) is TopicKind.EVIDENCE
        ]

    def bound_to(self, evidence: Evidence) -> Handle | None:
        """The handle of its sync proof."""
        return self.handles().get(HandleId(parse_attest(evidence.body.sync.attest).extra_data))

    def wait_for_push(self, what: str, *, issuer: str | None = None, after_us: int = 0) -> Evidence:
        """A push bound to a handle of ``issuer`` that was stamped after a time."""

        def fits(evidence: Evidence) -> bool:
            handle = self.bound_to(evidence)
            return handle is not None and handle.time_us > after_us and issuer in {None, handle.claims.issuer}

        self.client.wait_for(lambda _: bool(self.evidence()) and fits(self.evidence()[-1]), what, PATIENCE_S)
        return next(each for each in reversed(self.evidence()) if fits(each))

    def age_us(self, evidence: Evidence) -> int:
        """The most that a push can be old now."""
        handle = self.bound_to(evidence)
        assert handle is not None
        sync, quote = parse_attest(evidence.body.sync.attest), parse_attest(evidence.quote)
        made = quote_made(handle.made, sync.clock_info.clock, quote.clock_info.clock, MAX_DRIFT_PPM)
        return age_us(made, utc_us())


def start(package: str, config: Path) -> "subprocess.Popen[bytes]":
    with config.with_suffix(".log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", package, "run", "--config", str(config)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


@contextlib.contextmanager
def ended(process: "subprocess.Popen[bytes]") -> Iterator["subprocess.Popen[bytes]"]:
    """Killed at the end, if it is not gone by then."""
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def write_distributor(folder: Path, name: str, port: int, url: str, root: Path) -> Path:
    assert distributor_main(["keygen", "--out", str(folder / f"{name}.pem")]) == 0
    config = folder / f"{name}.toml"
    config.write_text(
        f'name = "{name}"\nsigning_key = "{name}.pem"\nstate_file = "{name}.handle"\ninterval_s = 1.0\n'
        f'lifetime_s = 7200\n[tsa]\nurls = ["{url}"]\nroots = ["{root}"]\nmax_clock_offset_s = 30\n'
        f"[mqtt]\nport = {port}\n"
    )
    return config


def write_agent(folder: Path, port: int, tcti: str, root: Path) -> Path:
    generate_key_pair(folder / "verifier.key")
    tables: dict[str, dict[str, object]] = {
        "mqtt": {"port": port},
        "tpm": {"tcti": tcti},
        "evidence": {"pcrs": "sha256:0-7", "heartbeat_s": 0.5, "log_poll_s": 0.2},
        "trust": {
            "distributor_keys": [f"{name}.pub" for name in NAMES],
            "verifier_keys": ["verifier.pub"],
            "tsa_roots": [str(root)],
        },
    }
    lines = ['name = "device-1"', 'state = "agent.db"']
    for table, values in tables.items():
        lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    config = folder / "agent.toml"
    config.write_text("\n".join(lines), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "attester_agent", "provision", "--config", str(config), "--out", str(folder)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return config


def test_one_of_two_distributors_is_killed_and_evidence_stays_fresh(tmp_path: Path) -> None:
    for name in ("tpm", "broker", "tsa"):
        (tmp_path / name).mkdir()
    with contextlib.ExitStack() as stack:
        tsa = stack.enter_context(running_tsa(tmp_path / "tsa"))
        broker = stack.enter_context(running_mosquitto(tmp_path / "broker", persistence=False))
        tpm = stack.enter_context(running_swtpm(tmp_path / "tpm"))
        configs = [write_distributor(tmp_path, name, broker.port, tsa.url, tsa.root_file) for name in NAMES]
        agent = write_agent(tmp_path, broker.port, tpm.tcti, tsa.root_file)
        client = stack.enter_context(listening(broker.port, TOPICS.all_handles, TOPICS.all_evidence))
        scene = Scene(tmp_path, tsa.root_file, client)
        one, two = (stack.enter_context(ended(start("handle_distributor", config))) for config in configs)
        process = stack.enter_context(ended(start("attester_agent", agent)))
        for name in NAMES:
            scene.wait_for_push(f"a push bound to {name}", issuer=name)
        one.kill()
        one.wait()
        killed_us = utc_us()
        last = scene.wait_for_push("a push bound to the survivor", issuer="two", after_us=killed_us + 3_000_000)
        assert scene.age_us(last) < MAX_AGE_US
        again = stack.enter_context(ended(start("handle_distributor", configs[0])))
        scene.wait_for_push("a push bound to the one that is back", issuer="one", after_us=killed_us)
        two.kill()
        two.wait()
        last = scene.wait_for_push("a push bound to it alone", issuer="one", after_us=utc_us() + 2_000_000)
        assert scene.age_us(last) < MAX_AGE_US
        assert again.poll() is None
        assert process.poll() is None
        sequences = [each.body.sequence for each in scene.evidence()]
        assert sequences == list(range(len(sequences)))
        log = (tmp_path / "agent.log").read_text()
        assert "handle-chain-forked" not in log
        assert "handle-chain-gap" not in log
