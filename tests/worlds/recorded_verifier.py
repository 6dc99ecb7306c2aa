"""A verifier that records all that an auditor needs, in a world in which much goes wrong.

:meth:`Recording.happen` lets one thing happen, chosen by a seed; whatever has happened, the log must verify.
"""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

from typing_extensions import override

from runtime.audit_log.any_log import read_entries
from runtime.time_stamps.verifier import time_stamp_verifier_of
from schemas import media_types
from schemas.audit.entry import ObjectEntry
from schemas.codecs import cmw
from schemas.errors import WorldError
from schemas.identifiers import ueid_text
from schemas.media_types import Indicator
from schemas.messages.evidence import Evidence, encode_evidence
from schemas.messages.handle import handle_id
from schemas.messages.policy import SignedPolicy, sign_policy
from schemas.messages.reference_values import sign_reference_values
from schemas.messages.trust_objects import TRUST_OBJECTS
from schemas.reasons import Reason
from schemas.topics import TopicKind
from tests.fakes.attester import HandleMint
from tests.worlds.device import make_references
from tests.worlds.verifier import ISSUER, Verifying
from verifier_worker.adapters.loaded_files import LoadedFiles, compile_local_policy
from verifier_worker.audit.opening_entries import opening_entries
from verifier_worker.audit.rederivation import PinnedTrust, Rederivation
from verifier_worker.settings import Settings, TrustSettings
from verifier_worker.worker import Received

POLICY = """\
id = "test"
version = 1
pcrs = "sha256:0-10"
reference_values = ["good"]
deadline_s = 10
max_age_s = 600
max_handle_age_s = 600
remeasure_s = 30
[logs]
tcg2 = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
ima = [10]
[ima]
agent = []
"""
GOOD = ((b"/usr/bin/true", b"true"), (b"/usr/bin/cat", b"cat"))


class Recording(Verifying):
    """One verifier, one device; the log begins with whom the verifier believes."""

    policy_text = POLICY
    result_format = "jwt"

    def __init__(self, folder: Path, *, mint: HandleMint | None = None) -> None:
        super().__init__(folder, recorded=frozenset(TRUST_OBJECTS), mint=mint)
        self.versions = {"good": 1, "fleet": 0}
        self.last: Evidence | None = None

    @override
    def _open(self) -> None:
        self.policy = compile_local_policy(self.policy_text.encode())
        log_is_new = not self.audit_file.exists()  # as the service sees it: before the outbox is emptied into it
        super()._open()
        unused = TrustSettings(endorser_keys=(), distributor_keys=(), tsa_roots=())
        folder = self.folder
        settings = Settings(name="v1", trust=unused, signing_key=folder, database=folder, audit_log=folder)
        files = LoadedFiles(
            key=self.key,
            endorsers=self.endorsers,
            distributors=self.mint.keys,
            stamps=self.stamps,
            policy=self.policy,
            policy_text=self.policy_text.encode(),
        )
        made = opening_entries(settings, files, self.store, log_is_new=log_is_new)
        entries = [ObjectEntry(received_us=self.receipt_us(), kind=kind, raw=raw) for kind, raw in made]
        self.trust.trust(entries[-1].received_us)
        self.worker.record(entries)
        self.worker.settle()

    @override
    def take(self, kind: str, name: str, raw: bytes, *, retained: bool = False) -> bool:
        received_us = self.receipt_us()
        is_new = self.trust.accept(kind, name, raw, self.now_us, retained=retained, received_us=received_us)
        if is_new:
            received_us = self.receipt_us() if kind == TopicKind.HANDLES else received_us
            self.worker.record([ObjectEntry(received_us=received_us, kind=kind, raw=raw)])
            self.worker.settle()
        if is_new and kind == TopicKind.HANDLES:
            self.worker.resolve(handle_id(raw), self.receipt_us())
            self.worker.settle()
        if is_new:
            self.note_in_force(kind, raw)
        return is_new

    def deliver(self, *payloads: bytes) -> None:
        """One batch."""
        name = ueid_text(self.device.ueid)
        self.worker.process(
            [Received(ueid_text=name, payload=each, received_us=self.receipt_us()) for each in payloads]
        )
        self.worker.settle()

    @override
    def restart(self) -> None:
        """Kill -9, and another start: that takes a while."""
        self.pass_s(0.1)
        super().restart()

    @staticmethod
    def payload(evidence: Evidence) -> bytes:
        return cmw.wrap(media_types.EVIDENCE, encode_evidence(evidence), Indicator.EVIDENCE)

    @property
    def entries(self) -> list[bytes]:
        """The log."""
        return [raw for _, raw in read_entries(self.audit_file)]

    # -- what can happen -----------------------------------------------------------------------------------------------

    def happen(self, dice: random.Random) -> str:
        """Lets one thing happen; its name."""
        actions: list[tuple[int, Callable[[random.Random], None]]] = [
            (8, self._push),
            (2, self._two_pushes),
            (2, self._lose),
            (2, self._full),
            (2, self._repeat),
            (3, self._garbage),
            (2, self._replay),
            (2, self._silence),
            (3, self._synchronise),
            (2, self._late_handle),
            (1, self._reboot),
            (2, self._values),
            (1, self._signed_policy),
            (2, self._restart),
            (1, self._evict),
            (2, self._crash_before_the_log),
            (1, self._crash_before_the_store),
        ]
        (action,) = dice.choices([each for _, each in actions], [weight for weight, _ in actions])
        self.pass_s(dice.choice((0.1, 1, 3)))
        action(dice)
        return action.__name__

    def _measure(self, dice: random.Random) -> None:
        roll = dice.random()
        if roll < 0.3:
            self.device.run(*dice.choice(GOOD))
        elif roll < 0.4:
            self.device.run(b"/opt/odd%d" % dice.randrange(5), b"odd")

    def _made(self, **how: object) -> bytes:
        self.last = self.device.push(elapsed_ms=1, **how)  # type: ignore[arg-type]  # fields by name
        return self.payload(self.last)

    def _push(self, dice: random.Random) -> None:
        self._measure(dice)
        self.deliver(self._made())

    def _two_pushes(self, dice: random.Random) -> None:
        self.deliver(self._made(), b"\x83", self._made())

    def _lose(self, dice: random.Random) -> None:
        self._measure(dice)
        self._made()
        self.deliver(self._made())

    def _full(self, dice: random.Random) -> None:
        resend = dict.fromkeys(("tcg2", "ima"), 0) if dice.random() < 0.7 else None
        self.deliver(self._made(full=True, resend=resend))

    def _repeat(self, dice: random.Random) -> None:
        if self.last is not None:
            self.deliver(self.payload(self.last))

    def _garbage(self, dice: random.Random) -> None:
        self.deliver(*[dice.choice((b"", b"\xff", b"\x83", bytes(300_000))) for _ in range(dice.randint(1, 3))])

    def _replay(self, dice: random.Random) -> None:
        old = self._made()
        self.pass_s(0.01)
        self.deliver(self._made())
        self.deliver(old)

    def _silence(self, dice: random.Random) -> None:
        self.pass_s(dice.choice((5, 11)))
        self.worker.expire(self.receipt_us())
        self.worker.settle()

    def _synchronise(self, dice: random.Random) -> None:
        self.device.sync(self.new_handle())
        self.deliver(self._made())

    def _late_handle(self, dice: random.Random) -> None:
        raw = self.mint.raw(self.now_us)
        self.device.sync(self.verified(raw))
        self.deliver(self._made())
        if dice.random() < 0.5:
            self.pass_s(11)
            self.worker.expire(self.receipt_us())
            self.worker.settle()
        self.pass_s(0.5)
        self.take(TopicKind.HANDLES, ISSUER, raw)

    def _reboot(self, dice: random.Random) -> None:
        self.device.reboot()
        self.device.sync(self.new_handle())
        self.deliver(self._made())

    def _values(self, dice: random.Random) -> None:
        self.versions["good"] += 1
        changes: dict[str, object] = {"version": self.versions["good"]}
        if dice.random() < 0.6:
            changes["files"] = {b"\x01" * 32: "/a", **dict.fromkeys(self._digests(dice), "/b")}
        self.take(
            TopicKind.REFERENCE_VALUES,
            "good",
            sign_reference_values(make_references(self.device, **changes), self.endorser),
        )

    def _digests(self, dice: random.Random) -> Sequence[bytes]:
        known = list(make_references(self.device).files)
        return dice.sample(known, dice.randint(0, len(known)))

    def _signed_policy(self, dice: random.Random) -> None:
        self.versions["fleet"] += 1
        now_s = self.now_us // 1_000_000
        text = POLICY.replace('id = "test"', 'id = "fleet"').replace("version = 1\n", "")
        if dice.random() < 0.5:
            text += '[weights]\nfile-unexpected = "warning"\n'
        policy = SignedPolicy(
            id="fleet",
            version=self.versions["fleet"],
            signer="endorser",
            not_before_s=now_s - dice.choice((-5, 10)),
            not_after_s=now_s + dice.choice((20, 1000)),
            text=text,
        )
        self.take(TopicKind.POLICIES, "fleet", sign_policy(policy, self.endorser))

    def _restart(self, dice: random.Random) -> None:
        self.restart()

    def _evict(self, dice: random.Random) -> None:
        """Too many other attesters: what is in memory alone is forgotten."""
        self.worker._cache.clear()

    def _crash_before_the_log(self, dice: random.Random) -> None:
        """The store has it, the log has not."""
        append = self.audit.append

        def fail(entries: Sequence[tuple[int, bytes]]) -> None:
            append(entries[: dice.randint(0, len(entries))])
            raise WorldError(Reason.STORE_UNAVAILABLE, "ordered by the test")

        self.audit.append = fail  # type: ignore[method-assign]  # a disk that fails
        try:
            self.deliver(self._made(), b"\xff", self._made())
        except WorldError:
            self.restart()

    def _crash_before_the_store(self, dice: random.Random) -> None:
        payload = self._made()
        self.store._db.execute("PRAGMA query_only = ON")
        try:
            self.deliver(b"\xff", payload)
        except WorldError:
            self.restart()
        if dice.random() < 0.7:
            self.deliver(b"\xff", payload)


def rederived(entries: Sequence[bytes], **pinned: object) -> Rederivation:
    """What an auditor finds in a log; believes whom the log names."""
    made = Rederivation(PinnedTrust(stamps_of=time_stamp_verifier_of, **pinned))  # type: ignore[arg-type]  # by name
    for index, raw in enumerate(entries):
        made.take(index, raw)
    return made
