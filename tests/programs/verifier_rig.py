"""A real verifier process with everything it trusts, and devices in memory that push to it over a real broker."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from runtime.audit_log.signer import generate_audit_log_key
from runtime.clock import random_bytes, utc_us
from runtime.keys import generate_key_pair
from schemas import media_types
from schemas.codecs import cmw, cose, jws
from schemas.identifiers import Ueid
from schemas.media_types import Indicator
from schemas.messages import handle
from schemas.messages.endorsement import sign_endorsement
from schemas.messages.evidence import Evidence, encode_evidence
from schemas.messages.handle import Handle, HandleClaims, attach_stamp, handle_id, sign_claims
from schemas.messages.reference_values import sign_reference_values
from schemas.messages.result import AttestationResult, from_claims
from schemas.topics import Topics
from tests.builders.statements import stated
from tests.builders.token_forge import ForgedAuthority, tst_info
from tests.programs.mqtt_client import Listener
from tests.programs.waiting import PATIENCE_S
from tests.worlds.device import FakeDevice, make_endorsement, make_references

ROOT = Path(__file__).resolve().parents[2]
POLICY = """\
id = "test"
version = 1
pcrs = "sha256:0-10"
reference_values = ["good"]
deadline_s = {deadline_s}
max_age_s = 600.0
result_lifetime_s = 60.0
[logs]
tcg2 = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
ima = [10]
[ima]
agent = []
"""
SETTINGS = """\
name = "verifier-1"
signing_key = "verifier.key"
database = "state.db"
audit_log = "audit"
policy = "policy.toml"
solicit_interval_s = 0.2
[mqtt]
port = {port}
[audit]
signing_key = "audit.key"
checkpoint_interval_s = 0.5
[trust]
endorser_keys = ["endorser.pub"]
distributor_keys = ["distributor.pub"]
tsa_roots = ["tsa.pem"]
"""


class VerifierRig:
    """One verifier; ``devices`` are endorsed, their first entry's boot is the reference."""

    def __init__(self, folder: Path, port: int, *, devices: int = 1, deadline_s: float = 600.0) -> None:
        self.folder, self.port, self.topics = folder, port, Topics()
        self.endorser = generate_key_pair(folder / "endorser.key")
        self.distributor = generate_key_pair(folder / "distributor.key")
        self.key = generate_key_pair(folder / "verifier.key")
        generate_audit_log_key(folder / "audit.key")
        self.authority = ForgedAuthority.make()
        (folder / "tsa.pem").write_bytes(self.authority.root.pem)
        (folder / "policy.toml").write_text(POLICY.format(deadline_s=deadline_s))
        (folder / "verifier.toml").write_text(SETTINGS.format(port=port))
        self.devices = [FakeDevice(label=b"device %d" % number) for number in range(devices)]
        self.handle = self.make_handle()
        for device in self.devices:
            device.sync(self.handle)
        self._process: subprocess.Popen[bytes] | None = None

    def make_handle(self) -> Handle:
        """A handle of this moment."""
        now_us = utc_us()
        claims = HandleClaims(
            issuer="clock",
            not_before_s=now_us // 1_000_000,
            expires_s=now_us // 1_000_000 + 600,
            nonce=random_bytes(32),
            epoch_marker=tst_info(handle.EPOCH_BELL_IMPRINT, now_us),
            previous=None,
        )
        signed = sign_claims(claims, self.distributor)
        raw = attach_stamp(signed, self.authority.token(cose.ctt_imprint(signed), now_us))
        return Handle(id=handle_id(raw), raw=raw, claims=claims, time_us=now_us, accuracy_us=500_000)

    def publish_trust(self, client: Listener) -> None:
        """The handle, the endorsements and the reference values, retained."""
        client.publish(
            self.topics.handles("clock"),
            cmw.wrap(media_types.HANDLE, self.handle.raw, Indicator.HANDLE),
            retain=True,
        )
        values = sign_reference_values(make_references(self.devices[0]), self.endorser)
        wrapped = cmw.wrap(media_types.SIGNED_CORIM, values, Indicator.REFERENCE_VALUES)
        client.publish(self.topics.reference_values("good"), wrapped, retain=True)
        for device in self.devices:
            vouched = make_endorsement(device.ueid, device.public)
            signed = sign_endorsement(vouched, device.raw_public, self.endorser)
            wrapped = cmw.wrap(media_types.SIGNED_CORIM, signed, Indicator.ENDORSEMENTS)
            client.publish(self.topics.endorsements(device.ueid), wrapped, retain=True)
        client.publish(*stated(self.endorser, "good", topics=self.topics), retain=True)

    @staticmethod
    def payload(evidence: Evidence) -> bytes:
        """A push as it travels."""
        return cmw.wrap(media_types.EVIDENCE, encode_evidence(evidence), Indicator.EVIDENCE)

    def start(self) -> None:
        """Starts the verifier; its log goes to ``verifier.log``."""
        with (self.folder / "verifier.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "verifier_worker", "run", "--config", str(self.folder / "verifier.toml")],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stderr=log,
                stdout=log,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )

    @property
    def pid(self) -> int:
        """Of the running verifier."""
        assert self._process is not None
        return self._process.pid

    def running(self) -> bool:
        """Whether the verifier lives."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """Kill -9."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        return self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> int:
        if self._process is None:
            return 0
        process, self._process = self._process, None
        if process.poll() is None:
            process.send_signal(how)
        return process.wait(PATIENCE_S)

    def results(self, messages: list[tuple[str, bytes]], ueid: Ueid) -> list[AttestationResult]:
        """The verified results about one attester among messages."""
        keys = {cose.key_id(self.key.public_key()).hex(): self.key.public_key()}
        topic = self.topics.results(ueid)
        return [
            from_claims(jws.verify(cmw.unwrap(payload, media_types.RESULT, Indicator.ATTESTATION_RESULTS), keys))
            for heard, payload in messages
            if heard == topic and payload
        ]

    def log(self) -> str:
        """What the verifier logged."""
        return (self.folder / "verifier.log").read_text()


@contextlib.contextmanager
def verifier_rig(folder: Path, port: int, *, devices: int = 1, deadline_s: float = 600.0) -> Iterator[VerifierRig]:
    """A rig whose verifier is gone at the end; it is not started yet."""
    rig = VerifierRig(folder, port, devices=devices, deadline_s=deadline_s)
    try:
        yield rig
    finally:
        rig.kill()
