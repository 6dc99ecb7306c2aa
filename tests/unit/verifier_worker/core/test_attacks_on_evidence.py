"""Attacks on what evidence is worth: nothing is affirmed that was not shown, and what was found stays found."""

import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from schemas.errors import PeerError
from schemas.hashes import SHA1, SHA256, HashAlgorithm
from schemas.limits import MAX_UNEXPECTED_LISTED
from schemas.messages.evidence import Evidence, LogIncrement
from schemas.reasons import Reason
from schemas.tpm.pcr import parse_selection_text
from schemas.verdicts import Tier
from tests.builders.file_signing import file_key, sign_file
from tests.builders.log_bytes import EV_NO_ACTION, agile_event, ima_ng, ima_record
from tests.worlds.device import make_policy, make_references, make_trust
from tests.worlds.step_bench import APP, Bench, CelBench
from verifier_worker.core.lasting import MAX_LASTING, Lasting
from verifier_worker.core.policy.ima_demands import ImaTable
from verifier_worker.core.policy.policy_file import LogsTable
from verifier_worker.core.state import AttesterState

EVIL = (b"/tmp/evil", b"evil")


@pytest.fixture
def bad() -> Bench:
    """A device that was found contraindicated."""
    bench = Bench()
    bench.take(bench.device.push())
    bench.device.run(*EVIL)
    bench.take(bench.device.push())
    assert bench.verdict() == (Tier.CONTRAINDICATED, {Reason.FILE_UNEXPECTED})
    return bench


def paths(bench: Bench) -> list[str]:
    assert bench.state is not None
    return [finding.detail for finding in bench.state.lasting.findings]


def now(bench: Bench) -> AttesterState:
    assert bench.state is not None
    return bench.state


# ── positive evidence ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_log_of_another_pcr_is_no_evidence() -> None:
    """A kernel without IMA leaves PCR 10 as it starts; the list has one entry, of a PCR that is not quoted."""
    bench = Bench()
    bench.device.ima_list.clear()
    bench.device.pcrs[10] = bytes(32)
    bench.device.ima_list.append(ima_ng(b"/usr/bin/true", b"true", pcr_index=12))
    taken = bench.take(bench.device.push())
    assert bench.verdict() == (Tier.NONE, {Reason.LOG_MISSING})
    assert [finding.detail for finding in taken.findings] == ["ima: no entry that bank sha256 binds"]


def test_a_cel_log_of_another_pcr_is_no_evidence() -> None:
    bench = CelBench()
    bench.device.pcrs[14] = bytes(32)
    bench.device.cel_logs.pop(APP)
    bench.device.sent.pop(APP, None)
    bench.device.measure_file(APP, "/etc/app.conf", b"good config", index=15)
    taken = bench.push()
    assert bench.verdict() == (Tier.NONE, {Reason.LOG_MISSING})
    assert f"{APP}: no entry that bank sha256 binds" in [finding.detail for finding in taken.findings]


def test_a_bank_in_which_a_log_has_no_entry_is_not_vouched_for_by_another() -> None:
    """The boot log extends SHA-256 alone; the policy asks for both banks."""
    bench = Bench(policy_changes={"pcrs": "sha1:0-7+sha256:0-10", "logs": LogsTable(tcg2=tuple(range(10)), ima=(10,))})
    bench.device.selection = parse_selection_text("sha256:0-10")
    policy = make_policy(pcrs="sha256:0-10", logs=LogsTable(tcg2=tuple(range(10)), ima=(10,)))
    assert {bank for bank, _ in bench.policy.pcrs} == {SHA1, SHA256}
    bench.trust = make_trust(bench.device, handles=(bench.handle,), policy=policy)
    bench.take(bench.device.push())
    assert bench.verdict()[0] is Tier.AFFIRMING
    bench.trust = make_trust(bench.device, handles=(bench.handle,), policy=bench.policy)
    bench.take(bench.device.push())
    assert bench.verdict()[0] is Tier.NONE


def test_a_bank_that_the_firmware_does_not_extend_vouches_for_nothing() -> None:
    bench = Bench(policy_changes={"logs": LogsTable(ima=(10,))})
    bench.device.pcrs.update({index: bytes(32) for index in range(10)})
    bench.device.boot_log = bench.device.boot_log[:1]
    bench.device.ima_list.clear()
    bench.device.pcrs[10] = bytes(32)
    bench.device.run(b"/usr/bin/true", b"true")
    bench.trust = make_trust(bench.device, handles=(bench.handle,), policy=bench.policy)  # learned as zeros
    taken = bench.take(bench.device.push())
    assert bench.verdict() == (Tier.NONE, {Reason.BANK_NOT_EXTENDED})
    assert [finding.detail for finding in taken.findings] == ["sha256"]


@pytest.mark.parametrize("locality", [3, 4])
def test_a_locality_that_no_pcr_binds_extends_no_bank(locality: int) -> None:
    """The boot log states where TPM2_Startup came from; nothing was measured after that, so anybody can write it."""
    bench = Bench(policy_changes={"logs": LogsTable(ima=(10,))})
    device = bench.device
    device.pcrs.update({index: bytes(32) for index in range(11)})
    stated = agile_event(0, EV_NO_ACTION, {SHA256.tpm_id: bytes(32)}, b"StartupLocality\0" + bytes([locality]))
    device.boot_log, device.ima_list = [device.boot_log[0], stated], []
    device.run(b"/usr/bin/true", b"true")
    bench.trust = make_trust(device, handles=(bench.handle,), policy=bench.policy)
    values = {SHA256: {index: bytes(32) for index in range(10)}}
    bench.take(replace(device.push(), unsigned_pcrs=values))
    assert bench.verdict() == (Tier.NONE, {Reason.BANK_NOT_EXTENDED})


def test_a_firmware_pcr_that_the_boot_log_does_not_extend_is_not_explained() -> None:
    bench = Bench()
    bench.device.boot_log.pop()  # PCR 7
    bench.device.pcrs[7] = bytes(32)
    bench.device.ima_list.clear()
    bench.device.pcrs[10] = bytes(32)
    bench.device.run(b"/usr/bin/true", b"true")
    bench.trust = make_trust(bench.device, handles=(bench.handle,), policy=bench.policy)
    taken = bench.take(bench.device.push())
    assert bench.verdict() == (Tier.NONE, {Reason.LOG_MISSING})
    assert [finding.detail for finding in taken.findings] == ["tcg2: PCR sha256:7"]


# ── what was found stays found ───────────────────────────────────────────────────────────────────────────────────────


def inflated(bench: Bench) -> Evidence:
    """Root, or the network: more entries than there are, for ever."""
    return replace(bench.device.push(), unsigned_increments={"ima": LogIncrement(records=b"", total=2_000_000)})


def other_selection(bench: Bench) -> Evidence:
    bench.device.selection = parse_selection_text("sha256:0-11")
    return bench.device.push()


def fewer_pcrs(bench: Bench) -> Evidence:
    bench.device.selection = parse_selection_text("sha256:0-9")
    return bench.device.push()


def lost(bench: Bench) -> Evidence:
    bench.device.push()
    return bench.device.push()


def baseline_of_a_good_list(bench: Bench) -> Evidence:
    """Root resets what he can, and measures good files again; this PCR stands for one that can be reset."""
    bench.device.ima_list = bench.device.ima_list[:1]
    bench.device.pcrs[10] = bytes(32)
    record = bench.device.ima_list.pop()
    bench.device.measure_record(record)
    bench.device.run(b"/usr/bin/true", b"true")
    bench.device.sent, bench.device.previous = {}, None
    return bench.device.push()


def cut_log(bench: Bench) -> Evidence:
    bench.device.sent, bench.device.previous = {}, None
    return bench.device.push(limits={"tcg2": 2, "ima": 1})


@pytest.mark.parametrize(
    "attack",
    [inflated, other_selection, fewer_pcrs, lost, baseline_of_a_good_list, cut_log],
    ids=lambda each: each.__name__,
)
def test_what_was_found_stays_found(bad: Bench, attack: Callable[[Bench], Evidence]) -> None:
    for _ in range(3):
        bad.take(attack(bad))
        status, reasons = bad.verdict()
        assert status is Tier.CONTRAINDICATED
        assert Reason.FILE_UNEXPECTED in reasons
        assert paths(bad) == ["/tmp/evil"]


def test_a_reboot_alone_takes_nothing_away_its_settled_baseline_does(bad: Bench) -> None:
    bad.device.reboot()
    bad.device.sync(bad.handle)
    bad.take(bad.device.push(limits={"tcg2": 2}))
    assert bad.verdict()[0] is Tier.CONTRAINDICATED
    bad.take(bad.device.push())
    assert bad.verdict()[0] is Tier.AFFIRMING
    assert paths(bad) == []


def test_clearing_the_tpm_takes_nothing_away(bad: Bench) -> None:
    bad.device.clear()
    baseline_of_a_good_list(bad)
    newer = replace(bad.handle, time_us=bad.handle.time_us + 1_000_000, id=type(bad.handle.id)(b"n" * 32))
    bad.trust = replace(bad.trust, handles={**bad.trust.handles, newer.id: newer})
    bad.device.previous, bad.device.sent = None, {}
    bad.device.sync(newer)
    bad.take(bad.device.push())
    assert Reason.TPM_CLEARED in bad.verdict()[1]
    assert bad.verdict()[0] is Tier.CONTRAINDICATED


def test_reference_values_that_list_the_file_take_it_away(bad: Bench) -> None:
    files = {**make_references(bad.device).files, hashlib.sha256(EVIL[1]).digest(): "/tmp/evil"}
    more = make_references(bad.device, version=2, files=files)
    bad.trust = make_trust(bad.device, handles=(bad.handle,), policy=bad.policy, references=(more,))
    bad.device.sent, bad.device.previous = {}, None
    bad.take(bad.device.push())
    assert bad.verdict()[0] is Tier.AFFIRMING
    assert paths(bad) == []


def test_other_reference_values_take_nothing_away(bad: Bench) -> None:
    more = make_references(bad.device, version=2)
    bad.trust = make_trust(bad.device, handles=(bad.handle,), policy=bad.policy, references=(more,))
    bad.take(baseline_of_a_good_list(bad))
    assert bad.verdict()[0] is Tier.CONTRAINDICATED
    assert paths(bad) == ["/tmp/evil"]


def test_no_policy_is_no_policy_that_covers_it(bad: Bench) -> None:
    bad.trust = replace(bad.trust, policy=None)
    bad.take(bad.device.push())
    assert bad.verdict()[0] is Tier.CONTRAINDICATED


def test_a_policy_that_excludes_the_path_takes_it_away(bad: Bench) -> None:
    policy = make_policy(version=2, ima=ImaTable(exclude=("/tmp/*",), agent=()))
    bad.trust = make_trust(bad.device, handles=(bad.handle,), policy=policy)
    bad.device.sent, bad.device.previous = {}, None
    bad.take(bad.device.push())
    assert bad.verdict()[0] is Tier.AFFIRMING


def test_a_key_that_signs_the_file_takes_it_away() -> None:
    bench, key = Bench(), generate_private_key(SECP256R1())
    bench.take(bench.device.push())
    digest = hashlib.sha256(EVIL[1]).digest()
    signature = sign_file(key, digest)
    bench.device.measure_record(ima_record(b"ima-sig", b"sha256:\0" + digest, EVIL[0] + b"\0", signature))
    bench.take(bench.device.push())
    assert bench.verdict()[0] is Tier.CONTRAINDICATED
    more = make_references(bench.device, version=2, keys=(file_key(key),))
    bench.trust = make_trust(bench.device, handles=(bench.handle,), policy=bench.policy, references=(more,))
    bench.device.sent, bench.device.previous = {}, None
    bench.take(bench.device.push())
    assert bench.verdict()[0] is Tier.AFFIRMING
    assert paths(bench) == []


def test_a_pcr_that_was_unexpected_stays_so_until_its_value_is_approved() -> None:
    bench = Bench(policy_changes={"pcrs": "sha256:0-11"})
    bench.device.selection = parse_selection_text("sha256:0-11")
    good = make_references(bench.device)
    bad_value = b"\x0b" * 32

    def registers(*values: bytes) -> dict[HashAlgorithm, dict[int, frozenset[bytes]]]:
        return {SHA256: {**good.registers[SHA256], 11: frozenset(values)}}

    def push(value: bytes, version: int, *approved: bytes) -> None:
        references = make_references(bench.device, version=version, registers=registers(*approved))
        bench.trust = make_trust(bench.device, handles=(bench.handle,), policy=bench.policy, references=(references,))
        bench.device.pcrs[11] = value
        bench.device.sent, bench.device.previous = {}, None
        push = bench.device.push()
        values = {**push.unsigned_pcrs[SHA256], 11: value}
        bench.take(replace(push, unsigned_pcrs={SHA256: values}))

    push(bad_value, 1, bytes(32))
    assert bench.verdict() == (Tier.CONTRAINDICATED, {Reason.PCR_UNEXPECTED})
    push(bytes(32), 1, bytes(32))  # as after a reset of a PCR that can be reset
    assert bench.verdict() == (Tier.CONTRAINDICATED, {Reason.PCR_UNEXPECTED})
    push(bytes(32), 2, bytes(32), bad_value)
    assert bench.verdict() == (Tier.AFFIRMING, set())


def run_many(bench: Bench, count: int) -> dict[bytes, str]:
    """Runs files that nobody listed; returns them as reference values."""
    contents = [b"evil %d" % number for number in range(count)]
    for number, content in enumerate(contents):
        bench.device.run(b"/tmp/%d" % number, content)
    bench.take(bench.device.push())
    return {hashlib.sha256(content).digest(): "/tmp" for content in contents}


def test_what_does_not_fit_is_counted_and_stays_bad() -> None:
    bench = Bench()
    bench.take(bench.device.push())
    listed = run_many(bench, MAX_UNEXPECTED_LISTED + 3)
    bench.take(baseline_of_a_good_list(bench))
    files = {**make_references(bench.device).files, **dict(list(listed.items())[:MAX_UNEXPECTED_LISTED])}
    more = make_references(bench.device, version=2, files=files)
    bench.trust = make_trust(bench.device, handles=(bench.handle,), policy=bench.policy, references=(more,))
    assert now(bench).lasting.more == {Reason.FILE_UNEXPECTED}
    bench.take(bench.device.push())  # a delta under other reference values: everything must be measured again
    assert paths(bench) == []
    assert bench.verdict()[0] is Tier.CONTRAINDICATED


def test_what_did_not_fit_goes_when_all_of_it_is_approved() -> None:
    bench = Bench()
    bench.take(bench.device.push())
    listed = run_many(bench, MAX_UNEXPECTED_LISTED + 3)
    more = make_references(bench.device, version=2, files={**make_references(bench.device).files, **listed})
    bench.trust = make_trust(bench.device, handles=(bench.handle,), policy=bench.policy, references=(more,))
    bench.device.sent, bench.device.previous = {}, None
    bench.take(bench.device.push())
    assert bench.verdict() == (Tier.AFFIRMING, set())
    assert now(bench).lasting == Lasting()


def test_no_more_than_its_share_is_remembered() -> None:
    bench = Bench()
    bench.take(bench.device.push())
    for round_ in range(4):
        bench.device.ima_list = bench.device.ima_list[:1]
        bench.device.pcrs[10] = bytes(32)
        bench.device.measure_record(bench.device.ima_list.pop())
        for number in range(MAX_UNEXPECTED_LISTED):
            bench.device.run(b"/tmp/%d" % number, b"evil %d %d" % (round_, number))
        bench.device.sent, bench.device.previous = {}, None
        bench.take(bench.device.push())
    assert len(now(bench).lasting.findings) == MAX_LASTING
    assert now(bench).lasting.more == {Reason.FILE_UNEXPECTED}


# ── unsigned bytes decide nothing ────────────────────────────────────────────────────────────────────────────────────


def emptied(push: Evidence) -> Evidence:
    return replace(push, unsigned_increments={"ima": LogIncrement(records=b"", total=9)})


def one_more(push: Evidence) -> Evidence:
    increment = push.unsigned_increments["ima"]
    return replace(push, unsigned_increments={"ima": replace(increment, total=increment.total + 1)})


def one_less(push: Evidence) -> Evidence:
    increment = push.unsigned_increments["ima"]
    return replace(push, unsigned_increments={"ima": replace(increment, total=increment.total - 1)})


def unquoted_value(push: Evidence) -> Evidence:
    return replace(push, unsigned_pcrs={SHA256: {23: b"\x23" * 32}})


def forged_entry(push: Evidence) -> Evidence:
    evil = ima_ng(b"/bogus", b"bogus")
    return replace(push, unsigned_increments={"ima": LogIncrement(records=evil, total=50)})


@pytest.mark.parametrize(
    "change", [emptied, one_more, one_less, unquoted_value, forged_entry], ids=lambda each: each.__name__
)
def test_the_first_push_of_a_body_that_reproduces_its_quote_wins(change: Callable[[Evidence], Evidence]) -> None:
    bench = Bench()
    bench.take(bench.device.push())
    bench.device.run(b"/usr/bin/cat", b"cat")
    push = bench.device.push()
    with contextlib.suppress(PeerError):  # as the worker refuses what does not parse
        changed = bench.take(change(push))
        if change is unquoted_value:
            assert changed.refused is not None
            assert changed.refused.reason is Reason.PCR_VALUES_MISMATCH
    taken = bench.take(push)
    assert taken.refused is None
    assert bench.verdict() == (Tier.AFFIRMING, set())
    assert now(bench).replay.next_index["ima"] == 2
    assert now(bench).earlier is None
    bench.take(bench.device.push())
    assert bench.verdict() == (Tier.AFFIRMING, set())


def test_a_log_that_never_ends_is_asked_for_again() -> None:
    """Root: an entry is never sent, and every push says that it is still to come."""
    bench = Bench()
    bench.take(bench.device.push())
    bench.device.run(b"/usr/bin/cat", b"cat")
    asked = []
    for _ in range(12):
        bench.now_us += 60_000_000
        push = bench.device.push(limits={"ima": 0})
        promise = {"ima": LogIncrement(records=b"", total=1_000_000)}
        taken = bench.take(replace(push, unsigned_increments=promise))
        assert bench.verdict()[0] is Tier.NONE
        assert Reason.LOG_INCOMPLETE in bench.verdict()[1]
        asked += [taken.solicit.reason] if taken.solicit is not None else []
    assert asked[0] is Reason.LOG_INCOMPLETE
