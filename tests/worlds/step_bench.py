"""A device and a verifier that is nothing but ``step``: pushes go through the wire form and the stored form."""

import hashlib

from schemas.cel.records import (
    CelRecord,
    SystemdContent,
)
from schemas.hashes import SHA256
from schemas.messages.evidence import Evidence, encode_evidence, parse_evidence
from schemas.messages.handle import Handle
from schemas.reasons import Reason
from schemas.tpm.pcr import parse_selection_text
from schemas.verdicts import Tier
from tests.worlds.device import (
    T0_US,
    FakeDevice,
    make_handle,
    make_policy,
    make_references,
    make_trust,
)
from verifier_worker.core.policy.policy_file import LogsTable
from verifier_worker.core.state import AttesterState
from verifier_worker.core.state_codec import decode_state, encode_state
from verifier_worker.core.step import Step, step
from verifier_worker.core.trust import Trust

APP, SYSTEMD = "cel/app", "cel/systemd"
RECEIVED_US = T0_US + 5_000_000


class Bench:
    """A device, a verifier's trust and state, and the time."""

    def __init__(self, *, policy_changes: dict[str, object] | None = None) -> None:
        self.device = FakeDevice()
        self.handle: Handle = make_handle()
        self.policy = make_policy(**(policy_changes or {}))
        self.trust: Trust = make_trust(self.device, handles=(self.handle,), policy=self.policy)
        self.state: AttesterState | None = None
        self.now_us = RECEIVED_US
        self.device.sync(self.handle)

    def take(self, evidence: Evidence) -> Step:
        """One push through the wire form and ``step``; the stored form must give the same state back."""
        parsed = parse_evidence(encode_evidence(evidence))
        taken = step(self.state, self.device.ueid, parsed, self.now_us, self.trust)
        if taken.state is not None:
            assert decode_state(encode_state(taken.state)) == taken.state
        self.state = taken.state
        self.now_us += 1_000_000
        return taken

    def verdict(self) -> tuple[Tier, set[Reason]]:
        """Status and reasons now."""
        assert self.state is not None
        return self.state.verdict.status, set(self.state.verdict.reasons)


GOOD_CONTENT = {b"good config": "/etc/app.conf", b"enter-initrd": "phase", b"stub section": "stub"}


class CelBench:
    """A device with CEL logs, and a verifier whose policy gives PCRs 14 and 11, 15 to them."""

    def __init__(self) -> None:
        self.device = FakeDevice()
        self.device.selection = parse_selection_text("sha256:0-11,14-16")
        self.handle = make_handle()
        logs = LogsTable(tcg2=(*range(10), 11), ima=(10,), cel={"app": (14,), "systemd": (11, 15)})
        policy = make_policy(pcrs="sha256:0-11,14-16", logs=logs)
        files = {hashlib.sha256(content).digest(): name for content, name in GOOD_CONTENT.items()}
        references = make_references(self.device, files=files)
        self.trust = make_trust(self.device, handles=(self.handle,), policy=policy, references=(references,))
        self.state: AttesterState | None = None
        self.now_us = T0_US + 5_000_000
        self.device.sync(self.handle)
        self.device.measure_boot(11, b"stub section")
        self.device.measure_file(APP, "/etc/app.conf", b"good config")
        self.phase("enter-initrd")

    def phase(self, text: str, index: int = 11, digest: bytes | None = None) -> None:
        digests = ((SHA256.tpm_id, digest or SHA256.digest(text.encode())),)
        content = SystemdContent(event_type="phase", string=text)
        self.device.log_record(SYSTEMD, CelRecord(recnum=0, pcr=index, digests=digests, content=content))

    def push(self, **changes: object) -> Step:
        evidence = parse_evidence(encode_evidence(self.device.push(**changes)))  # type: ignore[arg-type]  # by name
        taken = step(self.state, self.device.ueid, evidence, self.now_us, self.trust)
        if taken.state is not None:
            assert decode_state(encode_state(taken.state)) == taken.state
        self.state = taken.state
        self.now_us += 1_000_000
        return taken

    def verdict(self) -> tuple[Tier, set[Reason]]:
        assert self.state is not None
        return self.state.verdict.status, set(self.state.verdict.reasons)
