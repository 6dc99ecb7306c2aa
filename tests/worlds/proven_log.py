"""A tiled log of what a recorded verifier wrote, with stamped checkpoints, to prove from."""

import hashlib
from pathlib import Path

from relying_party.audit.proof_check import Answer, ProofTrust, check_proof
from runtime.audit_log.tile_log import stamp_path
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
