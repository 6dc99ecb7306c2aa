"""A tiled log of what a recorded verifier wrote, with stamped checkpoints, to prove from."""

import hashlib
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from relying_party.__main__ import main
from relying_party.audit.proof_check import Answer, ProofTrust, check_proof
from runtime.audit_log.log_reader import stamp_path
from runtime.time_stamps.verifier import TimeStampVerifier
from schemas.audit.proof import parse_proof
from schemas.identifiers import ueid_text
from tests.fakes.log_store import LOG_KEY, LogRig
from tests.worlds.recorded_verifier import POLICY, Recording


class ProvenLog:
    """A device and its verifier; :meth:`publish` sequences and stamps what was recorded since."""

    def __init__(self, folder: Path, *, policy_text: str = POLICY) -> None:
        (folder / "verifier").mkdir()
        (folder / "log").mkdir(exist_ok=True)
        self.folder = folder
        self.recording = type("_Recording", (Recording,), {"policy_text": policy_text})(folder / "verifier")
        self.rig = LogRig(folder)
        self._done = 0
        (folder / "tsa.pem").write_bytes(self.recording.mint.authority.root.pem)
        (folder / "audit.vkey").write_text(LOG_KEY.text + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.recording.__exit__()

    @property
    def log(self) -> Path:
        return self.rig.log

    @property
    def ueid(self) -> str:
        return ueid_text(self.recording.device.ueid)

    def publish(self, *, stamped: bool = True) -> int:
        """A checkpoint of all entries, stamped now; its size."""
        entries = self.recording.entries
        self.rig.open()
        self.rig.append(entries[self._done :], self._done + 1)
        self.rig.run()
        self.rig.close()
        self._done = len(entries)
        if stamped:
            note = self.rig.reader.checkpoint_at(self._done)
            token = self.recording.mint.authority.token(hashlib.sha256(note).digest(), self.recording.now_us)
            self.rig.store.write(stamp_path(self._done), token)
        return self._done

    @property
    def trust(self) -> ProofTrust:
        return ProofTrust(log_key=LOG_KEY, stamps=TimeStampVerifier(self.recording.mint.authority.root.pem))

    def check(self, raw: bytes) -> Answer:
        """What a proof proves."""
        return check_proof(parse_proof(raw), self.trust)


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def iso(time_us: int) -> str:
    return (EPOCH + timedelta(microseconds=time_us)).isoformat()


@dataclass
class Proven:
    """A log and the time to ask about: between two stamped checkpoints and handles."""

    log: ProvenLog
    at_us: int

    def prove(self, at_us: int | None = None, name: str = "proof") -> Path:
        out = self.log.folder / name
        files = ["--audit-log", str(self.log.log), "--attester", self.log.ueid, "--out", str(out)]
        assert main(["audit", "prove", *files, "--at", iso(at_us or self.at_us)]) == 0
        return out

    def check(self, proof: Path, *more: str) -> int:
        files = ["--log-key", str(self.log.folder / "audit.vkey"), "--tsa-root", str(self.log.folder / "tsa.pem")]
        return main(["audit", "check", str(proof), *files, *more])


def run_of(
    at_end: ExitStack, folder: Path, *, evil_before: bool = False, evil_after: bool = False, reboot: bool = False
) -> Proven:
    """Evidence, a stamped checkpoint, the time asked for, a handle, evidence, a stamped checkpoint."""
    log = at_end.enter_context(ProvenLog(folder))
    device = log.recording.device
    device.sync(log.recording.new_handle())
    log.recording.pass_s(3600)
    device.sync(log.recording.new_handle())
    log.recording.deliver(log.recording._made())
    log.recording.pass_s(1)
    device.run(b"/usr/bin/true", b"true")
    if evil_before:
        device.run(b"/tmp/evil", b"evil")
    log.recording.deliver(log.recording._made())
    log.recording.pass_s(1)
    log.publish()
    log.recording.pass_s(20)
    at_us = log.recording.now_us
    log.recording.pass_s(20)
    if reboot:
        device.reboot()
    if evil_after:
        device.run(b"/tmp/evil", b"evil")
    device.run(b"/usr/bin/cat", b"cat")
    device.sync(log.recording.new_handle())
    log.recording.pass_s(1)
    log.recording.deliver(log.recording._made())
    log.recording.pass_s(1)
    log.publish()
    go_on(log)
    return Proven(log=log, at_us=at_us)


def go_on(log: ProvenLog) -> None:
    """One more synchronisation, under one more stamp: the boot did not end."""
    log.recording.pass_s(5)
    log.recording.device.sync(log.recording.new_handle())
    log.recording.pass_s(1)
    log.recording.deliver(log.recording._made())
    log.recording.pass_s(1)
    log.publish()
