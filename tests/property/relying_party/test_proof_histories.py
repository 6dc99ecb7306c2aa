"""Whatever happened to a device and its verifier, and whatever a proof leaves out: a yes is true; a whole no, too.

The truth is what the test did: which files the device had run by a moment, and which of them the reference values and
the policy in force at that moment approved.
"""

import hashlib
import random
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from relying_party.audit.proof_check import check_proof
from relying_party.audit.proof_verdict import Verdict
from relying_party.commands.audit.prove import assemble, choose, stamps_of
from schemas.audit.proof import AuditProof
from schemas.errors import PeerError
from schemas.messages.policy import SignedPolicy, sign_policy
from schemas.messages.reference_values import sign_reference_values
from schemas.topics import TopicKind
from tests.worlds.device import GOOD_FILES, make_references
from tests.worlds.proven_log import ProvenLog, go_on
from tests.worlds.recorded_verifier import POLICY
from verifier_worker.core.policy.ima_demands import is_excluded

STEPS = 45
FILES = [*GOOD_FILES.items(), (b"/opt/odd", b"odd"), (b"/tmp/other", b"other")]
TEXT = POLICY.replace('id = "test"\nversion = 1\n', 'id = "fleet"\n').replace("remeasure_s = 30", "remeasure_s = 20")


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A time to ask about, and whether all that ran by then was approved then."""

    at_us: int
    good: bool


class History:
    """One device, one verifier, one log; remembers the truth."""

    def __init__(self, log: ProvenLog, dice: random.Random) -> None:
        self.log, self.dice, self.recording = log, dice, log.recording
        self.ran: set[tuple[str, bytes]] = set()
        self.moments: list[Moment] = []
        self.recording.device.sync(self.recording.new_handle())
        self.recording.pass_s(4000)
        self.synchronise()
        self.publish()

    def act(self) -> None:
        acts: Sequence[tuple[int, Callable[[], None]]] = (
            (9, self.push),
            (5, self.synchronise),
            (5, self.publish),
            (6, self.run),
            (2, self.lose),
            (1, self.full),
            (2, self.values),
            (1, self.policy),
            (1, self.silence),
            (1, self.late_handle),
            (1, self.restart),
            (1, self.reboot),
        )
        (act,) = self.dice.choices([each for _, each in acts], [weight for weight, _ in acts])
        act()
        self.recording.pass_s(1)
        if self.dice.random() < 0.4:
            self.ask()
            self.recording.pass_s(1)

    def ask(self) -> None:
        recording = self.recording
        trust = recording.trust.trust(recording.now_us, recording.device.ueid)
        policy, references = trust.policy, trust.references
        good = policy is not None and all(
            digest in references.files or is_excluded(policy.ima.excluded, path) for path, digest in self.ran
        )
        self.moments.append(Moment(at_us=recording.now_us, good=good))

    def push(self) -> None:
        self.recording.deliver(self.recording._made())

    def synchronise(self) -> None:
        self.recording.device.sync(self.recording.new_handle())
        self.push()

    def publish(self) -> None:
        self.log.publish()

    def run(self) -> None:
        path, content = self.dice.choices(FILES, [6, 6, 6, 1, 1])[0]
        self.recording.device.run(path, content)
        self.ran.add((path.decode(), hashlib.sha256(content).digest()))

    def lose(self) -> None:
        self.recording._made()
        self.push()
        self.full()

    def full(self) -> None:
        self.recording.deliver(self.recording._made(full=True, resend={"tcg2": 0, "ima": 0}))

    def values(self) -> None:
        recording = self.recording
        recording.versions["good"] += 1
        listed = [each for each in FILES if self.dice.random() < (0.95 if each[0] in GOOD_FILES else 0.5)]
        files = {hashlib.sha256(content).digest(): path.decode() for path, content in listed}
        values = make_references(
            recording.device, version=recording.versions["good"], files={b"\1" * 32: "/a", **files}
        )
        recording.take(TopicKind.REFERENCE_VALUES, "good", sign_reference_values(values, recording.endorser))
        self.baseline()

    def policy(self) -> None:
        recording = self.recording
        recording.versions["fleet"] += 1
        more = self.dice.choice(("", 'exclude = ["/tmp/*"]\n'))
        policy = SignedPolicy(
            id="fleet",
            version=recording.versions["fleet"],
            signer="endorser",
            not_before_s=0,
            not_after_s=2**40,
            text=TEXT + more,
        )
        recording.take(TopicKind.POLICIES, "fleet", sign_policy(policy, recording.endorser))
        self.baseline()

    def baseline(self) -> None:
        """As the verifier asks for it; sometimes later."""
        self.push()
        if self.dice.random() < 0.7:
            self.recording.device.sent, self.recording.device.previous = {}, None
            self.push()

    def silence(self) -> None:
        self.recording.pass_s(11)
        self.recording.worker.expire(self.recording.receipt_us())
        self.recording.worker.settle()

    def late_handle(self) -> None:
        self.recording._late_handle(self.dice)

    def restart(self) -> None:
        self.recording.restart()

    def reboot(self) -> None:
        self.recording.device.reboot()
        self.ran.clear()
        self.synchronise()

    def proof(self, at_us: int) -> AuditProof | None:
        reader, ueid = self.log.rig.reader, self.recording.device.ueid
        try:
            _, choice = choose(reader, ueid, at_us, stamps_of(reader))
        except PeerError:
            return None
        return assemble(reader, ueid, at_us, choice)

    def answer(self, proof: AuditProof) -> Verdict | None:
        try:
            return check_proof(proof, self.log.trust).verdict
        except PeerError:
            return None


def bent(proof: AuditProof, dice: random.Random) -> AuditProof:
    """What a dishonest maker may do: leave entries out, name other sides."""
    kept = [each for each in proof.entries if dice.random() < dice.choice((0.8, 0.97, 1))]
    indices = [each.index for each in kept]
    if dice.random() < 0.5 and indices:
        proof = replace(proof, before=dice.choice(indices))
    if dice.random() < 0.3 and indices:
        proof = replace(proof, after=dice.choice(indices))
    return replace(proof, entries=tuple(kept))


@pytest.mark.parametrize("seed", range(6))
def test_an_answer_is_true(tmp_path: Path, seed: int, at_end: ExitStack) -> None:
    dice = random.Random(seed)
    history = History(at_end.enter_context(ProvenLog(tmp_path)), dice)
    for _ in range(STEPS):
        history.act()
    history.publish()
    go_on(history.log)
    for moment in history.moments:
        proof = history.proof(moment.at_us)
        if proof is None:
            continue
        whole = history.answer(proof)
        assert whole is not (Verdict.NO if moment.good else Verdict.YES), (seed, moment)
        answers = [history.answer(bent(proof, dice)) for _ in range(4)]
        assert moment.good or Verdict.YES not in answers, (seed, moment, answers)


def test_times_of_an_honest_device_are_proven(tmp_path: Path, at_end: ExitStack) -> None:
    """Good files, pushes, synchronisations and stamps, and reference values that grow now and then."""
    dice = random.Random(1)
    history = History(at_end.enter_context(ProvenLog(tmp_path)), dice)
    for number in range(40):
        history.recording.device.run(*dice.choice(list(GOOD_FILES.items())))
        dice.choice((history.push, history.synchronise, history.publish))()
        history.recording.pass_s(1)
        if number % 3 == 0:
            history.ask()
            history.recording.pass_s(1)
    history.synchronise()
    history.publish()
    go_on(history.log)
    answers = []
    for moment in history.moments:
        proof = history.proof(moment.at_us)
        assert proof is not None
        answers.append(history.answer(proof))
    assert set(answers) <= {Verdict.YES, Verdict.UNKNOWN}
    assert answers.count(Verdict.YES) > len(answers) // 2, answers
