"""Making pushes with a software TPM: sync, quote, logs, races, reboots. Everything is verified as a verifier would."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from attester_agent.core.agent_state import AgentState
from attester_agent.core.evidence_builder import Push
from attester_agent.core.handle_gate import AcceptedHandle
from attester_agent.ports import LogRestartedError
from attester_agent.push_maker import ATTEMPTS, PushMaker
from schemas.errors import WorldError
from schemas.hashes import SHA256
from schemas.identifiers import HandleId
from schemas.limits import MAX_LOG_ENTRIES
from schemas.messages.evidence import Evidence
from schemas.reasons import Reason
from schemas.replay.log_replay import Quoted, Replay, ReplayState
from schemas.topics import Topics
from schemas.tpm.attest import Attest, QuoteInfo, parse_attest
from schemas.tpm.pcr import PcrValues, parse_selection_text
from schemas.tpm.signature import parse_signature, verify_signature
from tests.builders.log_bytes import ima_ng
from tests.fakes.attester import MemoryLog, SoftTpm, read_payload, state_of

SELECTION = parse_selection_text("sha256:0-3,10")
QUOTE_INVALID, SYNC_INVALID = Reason.QUOTE_SIGNATURE_INVALID, Reason.SYNC_SIGNATURE_INVALID
HANDLE = AcceptedHandle(id=HandleId(b"h" * 32), time_us=1, expires_us=2)
NEWER = AcceptedHandle(id=HandleId(b"n" * 32), time_us=2, expires_us=3)


class Device:
    """A TPM, an IMA list, an agent's push maker, and a verifier's replay of what it pushes."""

    def __init__(self, *, max_bytes: int = 100_000) -> None:
        self.tpm = SoftTpm()
        self.ima = MemoryLog()
        self.problems: list[str] = []
        self.maker = PushMaker(
            self.tpm, [self.ima], selection=SELECTION, max_bytes=max_bytes, on_unreproduced=self.problems.append
        )
        self.state: AgentState = state_of(self.tpm)
        self.measured = 0
        self.replay = ReplayState(banks=(SHA256,))
        self.values = PcrValues({})

    def measure(self, count: int = 1) -> None:
        for _ in range(count):
            record = ima_ng(b"/bin/%d" % self.measured, b"%d" % self.measured)
            template = record[28 + len(b"ima-ng") + 4 :]
            self.ima.measure(self.tpm, record, SHA256.digest(template))
            self.measured += 1

    def push(self, handle: AcceptedHandle = HANDLE) -> tuple[Push, Evidence, Attest]:
        made = self.maker.make(self.state, handle, {"os": "x"})
        self.state = made.state
        evidence = read_payload(made.payload)
        verify_signature(self.tpm.key.public_key(), parse_signature(evidence.signature), evidence.quote, QUOTE_INVALID)
        quote = parse_attest(evidence.quote)
        assert quote.extra_data == evidence.body_digest
        proof = evidence.body.sync
        sync = parse_attest(proof.attest)
        verify_signature(self.tpm.key.public_key(), parse_signature(proof.signature), proof.attest, SYNC_INVALID)
        assert sync.extra_data == handle.id
        assert sync.clock_info.reset_count == quote.clock_info.reset_count
        return made, evidence, quote

    def verify(self, evidence: Evidence, quote: Attest) -> bool:
        """What a verifier does with logs and values; True when they reproduce the quote."""
        if evidence.body.previous is None:
            self.values = PcrValues({})
            if evidence.body.logs.get("ima") == 0:
                self.replay = ReplayState(banks=(SHA256,))
        assert evidence.body.logs["ima"] == self.replay.next_index.get("ima", 0)
        self.values = self.values.updated(PcrValues(evidence.unsigned_pcrs))
        records = {name: increment.records for name, increment in evidence.unsigned_increments.items()}
        attested = quote.attested
        assert isinstance(attested, QuoteInfo)
        replay = Replay(self.replay, records)
        found = replay.until(
            Quoted(selection=attested.pcr_selection, digest=attested.pcr_digest, algorithm=SHA256), self.values
        )
        self.replay = replay.whole.state
        return found is not None


def test_pushes_reproduce_their_quotes_and_carry_only_what_is_new() -> None:
    device = Device()
    device.measure(5)
    _, first, quote = device.push()
    assert device.verify(first, quote)
    device.measure(2)
    _, second, quote = device.push()
    assert device.verify(second, quote)
    assert second.body.logs == {"ima": 5}
    assert second.body.previous == first.body_digest
    _, third, quote = device.push()
    assert device.verify(third, quote)
    assert (third.unsigned_increments, third.unsigned_pcrs) == ({}, {})


def test_one_sync_serves_all_pushes_of_a_handle() -> None:
    device = Device()
    for _ in range(3):
        device.push()
    assert device.tpm.syncs == 1
    device.push(NEWER)
    assert device.tpm.syncs == 2
    device.maker.forget_sync()
    device.push(NEWER)
    assert device.tpm.syncs == 3


def test_a_machine_that_measures_during_every_quote_is_no_problem() -> None:
    device = Device()
    device.measure(4)
    device.tpm.before_read = lambda: device.measure(3)
    for round_ in range(5):
        made, evidence, quote = device.push()
        assert device.verify(evidence, quote)
        assert made.behind
        assert device.replay.next_index["ima"] == 4 + 3 * round_
    assert device.tpm.quotes == 5


def test_a_pcr_without_a_log_that_moves_during_the_quote_costs_another_quote() -> None:
    device = Device()
    moves = iter([b"a" * 32, b"b" * 32])

    def move() -> None:
        digest = next(moves, None)
        if digest is not None:
            device.tpm.extend(3, digest)

    device.tpm.before_read = move
    _, evidence, quote = device.push()
    assert device.verify(evidence, quote)
    assert device.tpm.quotes == 3
    assert device.problems == []


def test_a_log_that_lies_goes_out_and_is_reported_and_costs_one_quote_from_then_on() -> None:
    device = Device()
    device.measure(2)
    device.tpm.extend(10, b"unlogged" * 4)
    _, evidence, quote = device.push()
    assert not device.verify(evidence, quote)
    assert len(device.problems) == 1
    assert device.tpm.quotes == ATTEMPTS
    device.push()
    assert device.tpm.quotes == ATTEMPTS + 1


def test_a_long_log_is_pushed_in_parts_and_the_last_part_reproduces_the_quote() -> None:
    device = Device(max_bytes=4096)
    device.measure(100)
    reproduced = []
    while True:
        made, evidence, quote = device.push()
        assert len(made.payload) <= 4096
        reproduced.append(device.verify(evidence, quote))
        device.measure()  # the log goes on while its parts are sent
        if made.complete:
            break
    assert reproduced == [False] * (len(reproduced) - 1) + [True]
    assert len(reproduced) > 3


def test_an_agent_that_restarts_goes_on_without_a_baseline() -> None:
    device = Device(max_bytes=4096)
    device.measure(60)
    first, evidence, quote = device.push()
    assert not first.complete
    device.verify(evidence, quote)
    device.maker = PushMaker(device.tpm, [device.ima], selection=SELECTION, max_bytes=100_000)
    made, second, quote = device.push()
    assert second.body.previous == evidence.body_digest
    assert second.body.logs == {"ima": device.state.next_entries["ima"] - len_of(second)}
    assert device.verify(second, quote)
    assert not made.full


def len_of(evidence: Evidence) -> int:
    return evidence.unsigned_increments["ima"].total - evidence.body.logs["ima"]


@pytest.mark.parametrize("when", ["between-pushes", "during-a-push"])
def test_a_reboot_makes_a_baseline_with_a_new_sync(when: str) -> None:
    device = Device()
    device.measure(3)
    _, before, quote = device.push()
    device.verify(before, quote)

    def reboot() -> None:
        device.tpm.before_read = None
        device.tpm.reboot()
        device.ima.records.clear()
        device.measure(2)

    if when == "between-pushes":
        reboot()
    else:
        device.tpm.before_read = reboot  # quoted in the old boot, read in the new one: nothing new, so still true
        made, old, quote = device.push()
        assert not made.full
        assert device.verify(old, quote)
    made, after, quote = device.push()
    assert made.full
    assert (after.body.logs, quote.clock_info.reset_count) == ({"ima": 0}, 2)
    assert after.body.sequence > before.body.sequence
    assert device.verify(after, quote)


def test_a_resume_makes_a_new_sync_and_no_baseline() -> None:
    device = Device()
    device.push()
    device.tpm.restart_count += 1
    made, evidence, quote = device.push()
    assert not made.full
    assert device.tpm.syncs == 2
    assert parse_attest(evidence.body.sync.attest).clock_info.restart_count == quote.clock_info.restart_count == 1


def test_a_tpm_that_restarts_every_time_is_the_worlds_fault() -> None:
    device = Device()

    def resume() -> None:
        device.tpm.restart_count += 1

    sync: Callable[[bytes], object] = device.tpm.sync

    def sync_then_resume(data: bytes) -> object:
        proof = sync(data)
        resume()
        return proof

    device.tpm.sync = sync_then_resume  # type: ignore[method-assign,assignment]  # a TPM in trouble
    with pytest.raises(WorldError) as caught:
        device.push()
    assert caught.value.reason is Reason.TPM_BUSY


def test_another_key_is_not_used() -> None:
    device = Device()
    device.tpm.key, device.tpm.public = SoftTpm(2).key, SoftTpm(2).public
    with pytest.raises(WorldError, match="another attesting key"):
        device.push()


def test_an_unreadable_log_does_not_stop_evidence() -> None:
    device = Device()
    device.measure(2)
    device.ima.failure = WorldError(Reason.LOG_UNREADABLE, "list: permission denied")
    _, evidence, quote = device.push()
    assert evidence.unsigned_increments == {}
    assert 10 in evidence.unsigned_pcrs[SHA256]  # no log explains it: its value travels
    assert device.verify(evidence, quote)
    device.ima.failure = None
    _, evidence, quote = device.push()
    assert device.verify(evidence, quote)
    assert evidence.body.logs == {"ima": 0}


def test_a_log_that_is_not_there_is_not_named() -> None:
    device = Device()
    device.ima.exists = False
    _, evidence, _ = device.push()
    assert evidence.body.logs == {}


def test_a_replaced_log_is_told_to_the_caller_and_read_from_the_start() -> None:
    device = Device()
    device.measure(3)
    device.push()
    device.ima.replaced = True
    with pytest.raises(LogRestartedError):
        device.push()
    device.push()
    assert not device.ima.replaced


def test_the_largest_heartbeat_stays_in_the_budget() -> None:
    """At most 700 bytes on the wire, with both logs long and an agent that pushed for decades."""
    device = Device()
    boot_log = MemoryLog(name="tcg2")
    maker = PushMaker(device.tpm, [device.ima, boot_log], selection=SELECTION, max_bytes=100_000)
    made = maker.make(device.state, HANDLE, {"os": "x"})
    old = replace(made.state, sequence=2**32 - 2, next_entries={"ima": MAX_LOG_ENTRIES, "tcg2": 200})
    heartbeat = maker.make(old, HANDLE, {"os": "x"})
    assert read_payload(heartbeat.payload).body.logs == {"ima": MAX_LOG_ENTRIES, "tcg2": 200}
    mqtt_bytes = 1 + 2 + 2 + 2 + 1  # PUBLISH: type, remaining length, topic length, packet id, no properties
    assert len(heartbeat.payload) + len(Topics().evidence(old.ueid)) + mqtt_bytes <= 700
