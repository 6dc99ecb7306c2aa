"""What is lost, repeated or forgotten between agent and verifier: a solicited resend from the index needed mends it.

Agent and worker are real, with their databases; the network between them is not.
"""

import random
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from schemas import media_types
from schemas.codecs import cmw
from schemas.media_types import Indicator
from schemas.messages.evidence import LogIncrement, encode_evidence
from schemas.reasons import Reason
from schemas.verdicts import Tier
from tests.builders.log_bytes import ima_ng
from tests.fakes.attester import read_payload
from tests.worlds.agent_and_verifier import Coupled, blackhole, faithful, starts_of

BOOT_ENTRIES = 9  # of the boot log


@pytest.fixture
def pair(tmp_path: Path, at_end: ExitStack) -> Coupled:
    """An agent and a verifier that know each other; 20 files have run."""
    coupled = at_end.enter_context(Coupled(tmp_path))
    coupled.run(20)
    coupled.settle()
    assert coupled.solicits == []
    return coupled


def forged(payload: bytes, name: str, *, extra: bytes = b"", more: int = 0, records: bytes | None = None) -> bytes:
    """A push whose unsigned increment of one log someone on the way has changed."""
    evidence = read_payload(payload)
    start = evidence.body.logs[name]
    true = evidence.unsigned_increments.get(name, LogIncrement(records=b"", total=start))
    content = true.records if records is None else records
    changed = LogIncrement(records=content + extra, total=true.total + more)
    forgery = replace(evidence, unsigned_increments={**evidence.unsigned_increments, name: changed})
    return cmw.wrap(media_types.EVIDENCE, encode_evidence(forgery), Indicator.EVIDENCE)


def asked(pair: Coupled) -> set[tuple[tuple[str, int], ...]]:
    """From where the verifier has solicited the logs; several pushes under way may each make it ask the same."""
    return {tuple(sorted(solicit.logs.items())) for solicit in pair.solicits}


# -- the network -------------------------------------------------------------------------------------------------------


def test_duplicates_change_nothing(pair: Coupled) -> None:
    pair.run(3)
    pair.network = lambda payloads: [each for each in payloads for _ in range(3)]
    assert pair.settle() == 1
    assert pair.solicits == []
    assert pair.result.rejections is None


def test_a_lost_push_is_asked_for_from_where_it_began(pair: Coupled) -> None:
    pair.run(2)
    pair.network = blackhole
    pair.turn()
    pair.network = faithful
    pair.run(2)
    pair.turn()
    assert (pair.result.status, pair.result.reasons) == (Tier.NONE, (Reason.SEQUENCE_GAP,))
    assert asked(pair) == {(("ima", 21), ("tcg2", BOOT_ENTRIES))}
    assert pair.settle() == 1
    assert pair.evidence[-1].body.logs == {"tcg2": BOOT_ENTRIES, "ima": 21}


def test_pushes_in_the_wrong_order_are_mended(pair: Coupled) -> None:
    payloads = []
    for _ in range(3):
        pair.run()
        payloads += pair.push()
    pair.deliver(payloads[::-1])
    assert pair.result.status is Tier.NONE
    assert pair.settle() <= 2
    assert asked(pair) == {(("ima", 21), ("tcg2", BOOT_ENTRIES))}


def test_a_lost_solicit_is_asked_again(pair: Coupled) -> None:
    pair.run()
    pair.push()  # lost
    pair.run()
    pair.turn()
    pair._answered = 1  # so is the solicit
    pair.turn()
    assert len(pair.solicits) == 2
    assert pair.settle() == 1


def test_a_broker_that_lost_its_queue(pair: Coupled) -> None:
    pair.network = blackhole
    for _ in range(5):
        pair.run()
        pair.turn()
    pair.network = faithful
    assert pair.settle() == 2
    assert asked(pair) == {(("ima", 21), ("tcg2", BOOT_ENTRIES))}


@pytest.mark.parametrize("seed", range(12))
def test_a_network_with_every_fault_ends_in_the_right_state(tmp_path: Path, seed: int, at_end: ExitStack) -> None:
    chance = random.Random(seed)
    held: list[bytes] = []

    def faulty(payloads: list[bytes]) -> list[bytes]:
        arrived = [each for each in payloads if chance.random() < 0.7]
        held.extend(arrived if chance.random() < 0.3 else [])
        old = [held.pop(chance.randrange(len(held)))] if held and chance.random() < 0.4 else []
        arrived += [*old, *(each for each in arrived if chance.random() < 0.2)]
        chance.shuffle(arrived)
        return arrived

    pair = at_end.enter_context(Coupled(tmp_path, max_bytes=4096))
    pair.run(40)
    pair.network = faulty
    for _ in range(30):
        pair.run(chance.randrange(3))
        pair.turn()
        if chance.random() < 0.1:
            chance.choice([pair.restart_agent, pair.restart_verifier, pair.crash])()
        assert pair.store.load(pair.agent.state.ueid) is None or not pair.state.measured.unexpected
    pair.network = faithful
    pair.settle()


# -- restarts and losses -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["agent", "verifier", "both"])
def test_a_kill_costs_no_resend(pair: Coupled, who: str) -> None:
    pair.run(2)
    {"agent": pair.restart_agent, "verifier": pair.restart_verifier, "both": pair.crash}[who]()
    assert pair.settle() <= 2
    assert pair.solicits == []
    assert all(each.body.previous is not None for each in pair.evidence if each.body.sequence > 0)


@pytest.mark.parametrize("who", ["agent", "verifier", "both"])
def test_a_kill_in_the_middle_of_a_long_log(tmp_path: Path, who: str, at_end: ExitStack) -> None:
    pair = at_end.enter_context(Coupled(tmp_path, max_bytes=4096))
    pair.run(150)
    pair.turn(3)
    assert pair.result.reasons == (Reason.LOG_INCOMPLETE,)
    {"agent": pair.restart_agent, "verifier": pair.restart_verifier, "both": pair.crash}[who]()
    pair.settle()
    assert pair.solicits == []


def test_a_verifier_restored_from_an_old_backup_asks_from_what_it_had(pair: Coupled) -> None:
    old = pair.backup()
    pair.run(5)
    pair.turn(3)
    assert pair.is_current
    pair.crash(verifier_file=old)
    pair.turn()
    assert pair.result.reasons == (Reason.SEQUENCE_GAP,)
    assert pair.settle() == 1
    assert asked(pair) == {(("ima", 21), ("tcg2", BOOT_ENTRIES))}


def test_a_verifier_restored_from_a_backup_of_an_earlier_boot_asks_for_everything(pair: Coupled) -> None:
    old = pair.backup()
    pair.reboot()
    pair.run(5)
    pair.turn(3)
    pair.crash(verifier_file=old)
    pair.settle()
    assert asked(pair) == {(("ima", 0), ("tcg2", 0))}


@pytest.mark.parametrize("files", [5, 150])
def test_a_verifier_that_lost_its_database_asks_for_everything(tmp_path: Path, files: int, at_end: ExitStack) -> None:
    pair = at_end.enter_context(Coupled(tmp_path, max_bytes=4096))
    pair.run(files)
    pair.settle()
    pair.turn(2)
    pair.crash(lose=(pair.verifier_file,))
    pair.turn()
    assert pair.result.reasons[0] == Reason.BASELINE_REQUIRED
    pair.settle()
    assert asked(pair) == {(("ima", 0), ("tcg2", 0))}


def test_an_agent_that_lost_its_state_sends_a_baseline_that_fits(pair: Coupled) -> None:
    pair.run(2)
    pair.crash(lose=(pair.agent_file,))
    assert pair.settle() == 1
    assert pair.evidence[-1].body.sequence == 0
    assert pair.solicits == []


def test_both_lost_everything(pair: Coupled) -> None:
    pair.crash(lose=(pair.agent_file, pair.verifier_file))
    assert pair.settle() == 1


def test_an_overflowing_spool_ends_in_a_baseline(tmp_path: Path, at_end: ExitStack) -> None:
    pair = at_end.enter_context(Coupled(tmp_path, max_bytes=4096, spool_bytes=12_000))
    pair.run(20)
    pair.settle()
    pair.broker.is_connected = False
    for _ in range(30):
        pair.run(2)
        pair.push()
    pair.broker.is_connected = True
    before = len(pair.evidence)
    pair.settle()
    baseline = pair.evidence[before].body
    assert (baseline.previous, baseline.logs) == (None, {"tcg2": 0, "ima": 0})
    assert not pair.results[-1].rejections


def test_a_new_policy_asks_for_everything(pair: Coupled) -> None:
    references = replace(pair.trust.references, label="good/2")
    pair.trust = replace(pair.trust, references=references)
    pair.turn()
    assert pair.result.status is Tier.NONE
    pair.settle()
    assert asked(pair) == {(("ima", 0), ("tcg2", 0))}


def test_a_reboot_during_an_outage_needs_nothing_of_the_old_boot(pair: Coupled) -> None:
    pair.network = blackhole
    pair.run(3)
    pair.turn()
    pair.reboot()
    pair.turn()
    pair.run(2)
    pair.network = faithful
    pair.settle()
    assert asked(pair) == {(("ima", 0), ("tcg2", 0))}


# -- long logs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_bytes", [4096, 4200, 4300, 4400, 4500, 4700, 5000])
def test_a_long_log_comes_in_bounded_pushes_with_visible_progress(
    tmp_path: Path, max_bytes: int, at_end: ExitStack
) -> None:
    pair = at_end.enter_context(Coupled(tmp_path, max_bytes=max_bytes))
    pair.run(200)
    parts = pair.settle()
    assert parts > 4
    shown = [result.logs.get("ima", 0) for result in pair.results]
    assert shown == sorted(set(shown))
    assert [result.status for result in pair.results] == [Tier.NONE] * (parts - 1) + [Tier.AFFIRMING]
    assert not any(result.logs_total for result in pair.results)  # the total is unsigned
    assert all(len(payload) <= max_bytes for topic, payload in pair.broker.published if "/evidence/" in topic)
    assert pair.solicits == []


@pytest.mark.parametrize("size", range(2700, 3300, 40))
def test_a_boot_log_of_any_size_leaves_the_list_of_files_to_later_pushes(
    tmp_path: Path, size: int, at_end: ExitStack
) -> None:
    """Also where the boot log ends just where a push does, so that no entry of the other log fits beside it."""
    pair = at_end.enter_context(Coupled(tmp_path, max_bytes=4096))
    room = size - sum(map(len, pair.boot_log.records))
    record = pair.boot_log.records[-1]
    data_size = int.from_bytes(record[-len(b"firmware 7 ") - 4 : -len(b"firmware 7 ")], "little")
    assert data_size == len(b"firmware 7 ")
    padded = (data_size + room).to_bytes(4, "little") + b"firmware 7 " + bytes(room)
    pair.boot_log.records[-1] = record[: -data_size - 4] + padded
    pair.run(3)
    pair.settle()
    assert pair.solicits == []


# -- someone on the way changes what no signature covers ---------------------------------------------------------------


@pytest.mark.parametrize("name", ["ima", "tcg2"])
def test_a_promise_of_more_entries_decides_nothing(pair: Coupled, name: str) -> None:
    pair.run()
    pair.network = lambda payloads: [forged(each, name, more=1000) for each in payloads]
    pair.turn()
    assert pair.result.status is Tier.AFFIRMING
    pair.network = faithful
    assert pair.settle() <= 2
    assert pair.solicits == []


@pytest.mark.parametrize("pcr", [10, 11])
def test_an_entry_added_on_the_way_does_not_stay(pair: Coupled, pcr: int) -> None:
    """An entry of PCR 11, which is not quoted, is consumed; one of PCR 10 waits as a tail. Neither is forever."""
    entry = ima_ng(b"/tmp/invented", b"evil", pcr)
    pair.run()
    pair.network = lambda payloads: [forged(each, "ima", extra=entry, more=1) for each in payloads]
    pair.turn()
    pair.network = faithful
    for _ in range(3):
        pair.run()
        pair.turn()
    pair.settle()
    assert pair.state.tails == {}
    assert pair.result.unexpected_total == 0


def test_a_changed_part_of_a_long_log_is_found_at_its_end_and_sent_again(tmp_path: Path, at_end: ExitStack) -> None:
    pair = at_end.enter_context(Coupled(tmp_path, max_bytes=4096))
    pair.run(100)
    pair.turn(2)

    def swap(payloads: list[bytes]) -> list[bytes]:
        entries = pair.ima.records[starts_of(payloads[0])["ima"] :][:10]
        swapped = b"".join([entries[1], entries[0], *entries[2:]])
        return [forged(payloads[0], "ima", records=swapped)]

    pair.network = swap
    pair.turn()
    pair.network = faithful
    while pair.result.reasons == (Reason.LOG_INCOMPLETE,):
        pair.turn()
    assert pair.result.reasons[0] in {Reason.LOG_REPLAY_MISMATCH, Reason.LOG_GAP}
    pair.settle()
