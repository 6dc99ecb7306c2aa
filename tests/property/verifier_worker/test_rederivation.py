"""Whatever happens to a verifier and its device, the verifier's log verifies; and no single change of it does."""

import hashlib
import json
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from runtime.time_stamps.verifier import time_stamp_verifier_of
from schemas import media_types
from schemas.audit.anchors import encode_anchors, encode_start, parse_anchors, parse_start, public_der
from schemas.audit.entry import (
    ANCHORS,
    LOCAL_POLICY,
    START,
    AuditEntry,
    EvidenceEntry,
    ObjectEntry,
    encode_entry,
    parse_entry,
)
from schemas.codecs import cmw, cose, jws
from schemas.media_types import Indicator
from schemas.messages import result_token
from schemas.messages.evidence import Evidence, parse_evidence
from schemas.topics import TopicKind
from tests.worlds.recorded_verifier import POLICY, Recording, rederived
from verifier_worker.audit.rederivation import PinnedTrust, Problem, Rederivation

STEPS = 60
STRANGER = generate_private_key(SECP256R1())


class ProblemsIn(Protocol):
    def __call__(self, entries: list[bytes], *, go_on: bool = True) -> list[Problem]: ...


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_every_result_is_derived_again(tmp_path: Path, seed: int, at_end: ExitStack) -> None:
    dice = random.Random(seed)
    recording = at_end.enter_context(Recording(tmp_path))
    recording.device.sync(recording.new_handle())
    happened = [recording.happen(dice) for _ in range(STEPS)]
    found = rederived(recording.entries)
    assert found.problems == [], (seed, happened)
    assert found.counts.results > STEPS // 3
    assert found.counts.underivable == found.counts.unannounced == 0


def test_messages_refused_before_the_first_accepted_push_are_derived_again(tmp_path: Path, at_end: ExitStack) -> None:
    recording = at_end.enter_context(Recording(tmp_path))
    recording.device.sync(recording.new_handle())
    recording.deliver(b"\xff", b"\xfe")
    recording.deliver(recording._made())
    assert recording.results[-1].rejections is not None
    assert recording.results[-1].rejections.count == 2
    found = rederived(recording.entries)
    assert (found.problems, found.counts.forgotten) == ([], 0)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recording]:
    """A log with everything in it that can be changed."""
    with Recording(tmp_path_factory.mktemp("recording")) as made:
        record_everything(made)
        assert rederived(made.entries).problems == []
        yield made


def record_everything(made: Recording) -> None:
    made.device.sync(made.new_handle())
    dice = random.Random(7)

    def overdue(dice: random.Random) -> None:
        made.pass_s(11)
        made.worker.expire(made.receipt_us())
        made.worker.settle()

    def plain(dice: random.Random) -> None:
        made.deliver(made._made())

    for action in (
        *(plain, made._push, made._garbage, made._push, made._late_handle, made._push, made._values, made._push),
        *(overdue, made._push, made._signed_policy, made._push, made._restart, made._push, made._synchronise),
        *(made._reboot, made._push, made._lose, made._full, made._push),
    ):
        made.pass_s(1)
        action(dice)


def changed(recording: Recording, index: int, change: Callable[[AuditEntry], AuditEntry]) -> list[bytes]:
    entries = recording.entries
    entries[index] = encode_entry(change(parse_entry(entries[index])))
    return entries


@pytest.fixture(scope="module")
def problems_in(recording: Recording) -> ProblemsIn:
    """Finds the problems of a changed log. The part before the change is derived once for all tests."""
    recorded = recording.entries
    before = [Rederivation(PinnedTrust(stamps_of=time_stamp_verifier_of))]
    for index, raw in enumerate(recorded):
        after = deepcopy(before[-1])
        after.take(index, raw)
        before.append(after)

    def find(entries: list[bytes], *, go_on: bool = True) -> list[Problem]:
        """All problems, or without ``go_on`` those of the first bad entry: the tests go on after some, to the end."""
        pairs = enumerate(zip(entries, recorded, strict=False))
        start = next((index for index, (now, was) in pairs if now != was), min(len(entries), len(recorded)))
        made = deepcopy(before[start])
        for index, raw in enumerate(entries[start:], start):
            if made.problems and not go_on:
                break
            made.take(index, raw)
        return made.problems

    return find


def first_bad(problems: list[Problem]) -> int | None:
    return problems[0].index if problems else None


def of_kind(recording: Recording, kind: str) -> Iterator[int]:
    """Indices of the entries of one kind."""
    for index, raw in enumerate(recording.entries):
        entry = parse_entry(raw)
        if isinstance(entry, ObjectEntry):
            found = entry.kind
        else:
            found = "refused" if entry.result is None else "push" if entry.payload is not None else entry.cause
        if found == kind:
            yield index


def reasons_at(recording: Recording, index: int) -> tuple[str, ...]:
    entry = parse_entry(recording.entries[index])
    assert isinstance(entry, EvidenceEntry)
    return tuple(entry.reasons)


def evidence_at(entries: list[bytes], index: int) -> Evidence:
    entry = parse_entry(entries[index])
    assert isinstance(entry, EvidenceEntry)
    assert entry.payload is not None
    return parse_evidence(cmw.unwrap(entry.payload, media_types.EVIDENCE, Indicator.EVIDENCE))


def resigned(recording: Recording, entry: AuditEntry, change: Callable[[dict[str, object]], object]) -> AuditEntry:
    """The result of an entry with other claims, signed by the verifier itself."""
    assert isinstance(entry, EvidenceEntry)
    assert entry.result is not None
    claims = result_token.unverified_claims(entry.result)
    change(claims)
    token = jws.sign(claims, recording.key, cose.key_id(recording.key.public_key()).hex())
    return replace(entry, result=token)


def test_every_claim_of_every_result_is_held_against_the_derived_one(
    recording: Recording, problems_in: ProblemsIn
) -> None:
    """Even where the verifier's own key signed the other one."""
    for kind in ("push", "overdue", "resolved"):
        for index in of_kind(recording, kind):
            for name in ("iat", "exp", "iss", "ueid", "eat_nonce"):

                def change(claims: dict[str, object], name: str = name) -> None:
                    value = claims[name]
                    claims[name] = value + 1 if isinstance(value, int) else str(value)[:-2] + "AA"

                entries = recording.entries
                entries[index] = encode_entry(resigned(recording, parse_entry(entries[index]), change))
                found = problems_in(entries, go_on=name == "iat")
                assert found[0].index == index, (kind, name)
                assert found[0].field in {name, "result"}


def test_a_verdict_that_was_turned_is_found_with_both_sides(recording: Recording) -> None:
    index = next(each for each in of_kind(recording, "push") if not reasons_at(recording, each))

    def turn(claims: dict[str, object]) -> None:
        text = json.dumps(claims).replace("affirming", "none")
        claims.clear()
        claims.update(json.loads(text))

    problems = rederived(changed(recording, index, lambda entry: resigned(recording, entry, turn))).problems
    assert problems[0].index == index
    assert any(each.detail == 'recorded "none", derived "affirming"' for each in problems)
    assert any(each.field.endswith("/ear_status") for each in problems)


def test_a_result_that_nobody_signed_is_found(recording: Recording, problems_in: ProblemsIn) -> None:
    for index in of_kind(recording, "push"):

        def break_signature(entry: AuditEntry) -> AuditEntry:
            assert isinstance(entry, EvidenceEntry)
            assert entry.result is not None
            middle = len(entry.result) // 2
            other = b"A" if entry.result[middle : middle + 1] != b"A" else b"B"
            return replace(entry, result=entry.result[:middle] + other + entry.result[middle + 1 :])

        assert first_bad(problems_in(changed(recording, index, break_signature))) == index


@pytest.mark.parametrize("digest_follows", [True, False])
def test_a_changed_payload_is_found(recording: Recording, problems_in: ProblemsIn, *, digest_follows: bool) -> None:
    dice = random.Random(1)
    for index in of_kind(recording, "push"):

        def flip(entry: AuditEntry) -> AuditEntry:
            assert isinstance(entry, EvidenceEntry)
            assert entry.payload is not None
            place = dice.randrange(len(entry.payload))
            payload = bytearray(entry.payload)
            payload[place] ^= 1 << dice.randrange(8)
            digest = hashlib.sha256(payload).digest() if digest_follows else entry.digest
            return replace(entry, payload=bytes(payload), digest=digest)

        for attempt in range(8):
            entries = changed(recording, index, flip)
            bad = first_bad(problems_in(entries, go_on=attempt == 0))
            if bad is None:  # what nobody signed and no result rests on, as after a gap
                was, now = evidence_at(recording.entries, index), evidence_at(entries, index)
                assert digest_follows
                assert (was.raw_body, was.quote, was.signature) == (now.raw_body, now.quote, now.signature)
                continue
            assert bad <= next((each for each in of_kind(recording, "push") if each > index), index)


def test_a_dropped_entry_is_found_at_the_latest_where_it_is_missed(
    recording: Recording, problems_in: ProblemsIn
) -> None:
    """But for the last of a log, and what nothing rests on: that is found by the tree."""
    entries = recording.entries
    unnoticed = []
    for index in range(len(entries) - 1):
        bad = first_bad(problems_in(entries[:index] + entries[index + 1 :], go_on=index % 4 == 0))
        if bad is None:
            unnoticed.append(index)
        else:
            assert bad >= index
    allowed = {*of_kind(recording, "overdue"), *of_kind(recording, "resolved"), *of_kind(recording, START)}
    statements = set(of_kind(recording, TopicKind.STATEMENTS))  # the one before or after it lists as much
    assert problems_in([each for index, each in enumerate(entries) if index not in statements])
    allowed |= statements
    unjudged: set[int] = set()
    pushes = list(of_kind(recording, "push"))
    for index, after in pairwise(pushes):
        starts_over = evidence_at(entries, after).body.previous is None
        undecided = {"sequence-gap", "baseline-required"} & set(reasons_at(recording, after))
        if "policy-missing" in reasons_at(recording, after):  # without a policy no log is replayed
            unjudged.add(index)
        if starts_over or undecided or index == pushes[-2]:
            allowed.add(index)
    allowed |= unjudged
    assert set(unnoticed) <= allowed, [(each, parse_entry(entries[each])) for each in set(unnoticed) - allowed]
    assert len(set(unnoticed) - statements - unjudged) <= len(entries) // 4


def test_swapped_entries_are_found(recording: Recording, problems_in: ProblemsIn) -> None:
    entries = recording.entries
    times = [parse_entry(raw).received_us for raw in entries]
    for index in range(len(entries) - 1):
        if times[index] == times[index + 1]:
            continue
        swapped = [*entries[:index], entries[index + 1], entries[index], *entries[index + 2 :]]
        bad = first_bad(problems_in(swapped, go_on=index % 4 == 0))
        assert bad is not None
        assert index <= bad <= index + 1


def test_another_policy_is_found(recording: Recording, problems_in: ProblemsIn) -> None:
    (index,) = of_kind(recording, LOCAL_POLICY)
    other = POLICY.replace("deadline_s = 10", "deadline_s = 60").encode()
    entries = recording.entries
    local = parse_entry(entries[index])
    assert isinstance(local, ObjectEntry)
    entries[index] = encode_entry(replace(local, raw=other))
    (start, *_) = of_kind(recording, START)
    assert first_bad(problems_in(entries)) == start
    digest = hashlib.sha256(other).digest()
    for each in of_kind(recording, START):
        entry = parse_entry(entries[each])
        assert isinstance(entry, ObjectEntry)
        entries[each] = encode_entry(replace(entry, raw=encode_start(replace(parse_start(entry.raw), policy=digest))))
    (overdue, *_) = of_kind(recording, "overdue")
    assert first_bad(problems_in(entries)) == overdue  # its one effect in this log: nobody was late yet
    for index in of_kind(recording, "policies"):

        def forge(entry: AuditEntry) -> AuditEntry:
            assert isinstance(entry, ObjectEntry)
            return replace(entry, raw=entry.raw[:-1] + bytes([entry.raw[-1] ^ 1]))

        assert first_bad(problems_in(changed(recording, index, forge))) == index


def test_a_back_dated_receipt_is_found(recording: Recording, problems_in: ProblemsIn) -> None:
    for index in range(1, len(recording.entries)):
        entries = changed(recording, index, lambda entry: replace(entry, received_us=entry.received_us - 120_000_000))
        assert first_bad(problems_in(entries, go_on=index % 4 == 0)) == index


def test_other_anchors_than_the_auditors_do_not_pass(recording: Recording) -> None:
    """The log's word on whom to believe counts only where the auditor has none of his own."""
    stranger = {cose.key_id(STRANGER.public_key()): STRANGER.public_key()}
    entries = recording.entries
    for name, kind in (("endorsers", "reference-values"), ("distributors", "handles"), ("verifiers", "push")):
        found = rederived(entries, **{name: stranger}).problems
        assert found[0].index == next(of_kind(recording, kind)), name
    assert rederived(entries, endorsers=recording.endorsers, distributors=recording.mint.keys).problems == []


def test_anchors_with_one_more_key_are_not_those_that_the_verifier_started_with(
    recording: Recording, problems_in: ProblemsIn
) -> None:
    (index,) = of_kind(recording, ANCHORS)

    def add(entry: AuditEntry) -> AuditEntry:
        assert isinstance(entry, ObjectEntry)
        anchors = parse_anchors(entry.raw)
        more = (*anchors.endorsers, public_der(STRANGER.public_key()))
        return replace(entry, raw=encode_anchors(replace(anchors, endorsers=more)))

    assert first_bad(problems_in(changed(recording, index, add))) == next(of_kind(recording, START))


def test_a_log_that_begins_in_the_middle_is_underivable_until_the_device_starts_over(
    tmp_path: Path, at_end: ExitStack
) -> None:
    recording = at_end.enter_context(Recording(tmp_path))
    recording.device.sync(recording.new_handle())
    dice = random.Random(3)
    recording._push(dice)
    recording.audit.close()
    recording.store.close()
    recording.audit_file.rename(tmp_path / "old.log")
    recording.pass_s(1)
    recording._open()
    recording._push(dice)
    recording.pass_s(1)
    recording._push(dice)
    found = rederived(recording.entries)
    assert found.problems == []
    assert found.counts.underivable == found.counts.results > 1


def test_where_evidence_was_given_up_all_is_derived_once_the_device_starts_over(
    tmp_path: Path, at_end: ExitStack
) -> None:
    """Objects are kept (retention); what the verifier knew of the device is not in the log any more."""
    recording = at_end.enter_context(Recording(tmp_path))
    recording.device.sync(recording.new_handle())
    dice = random.Random(7)
    for action in (*[recording._push] * 4, recording._reboot, recording._push, recording._push):
        recording.pass_s(1)
        action(dice)
    made, entries = Rederivation(PinnedTrust(stamps_of=time_stamp_verifier_of)), recording.entries
    pushes = list(of_kind(recording, "push"))
    for index, raw in enumerate(entries):
        if index > pushes[1] or isinstance(parse_entry(raw), ObjectEntry):
            made.take(index, raw)
    assert made.problems == []
    assert made.gaps
    assert (made.counts.underivable, made.counts.results) == (2, 5)

    def turn(claims: dict[str, object]) -> None:
        text = json.dumps(claims).replace("affirming", "none")
        claims.clear()
        claims.update(json.loads(text))

    made = Rederivation(PinnedTrust(stamps_of=time_stamp_verifier_of))
    entries[-1] = encode_entry(resigned(recording, parse_entry(entries[-1]), turn))
    for index, raw in enumerate(entries):
        if index > pushes[1] or isinstance(parse_entry(raw), ObjectEntry):
            made.take(index, raw)
    assert made.problems[0].index == len(entries) - 1


def test_a_verifier_that_lost_its_database_is_derived_again(tmp_path: Path, at_end: ExitStack) -> None:
    recording = at_end.enter_context(Recording(tmp_path))
    recording.device.sync(recording.new_handle())
    dice = random.Random(3)
    recording._push(dice)
    recording.store.close()
    (tmp_path / "state.db").unlink()
    recording.audit.close()
    recording.pass_s(1)
    recording._open()
    recording._push(dice)
    assert rederived(recording.entries).problems == []


def test_a_database_from_a_backup_is_not_what_the_log_says(tmp_path: Path, at_end: ExitStack) -> None:
    """The verifier has forgotten a push, and takes the next one for one after a gap."""
    recording = at_end.enter_context(Recording(tmp_path))
    recording.device.sync(recording.new_handle())
    dice = random.Random(3)
    recording._push(dice)
    recording.restart()
    backup = (tmp_path / "state.db").read_bytes()
    recording.pass_s(1)
    recording._push(dice)
    recording.store.close()
    recording.audit.close()
    for name in ("state.db-wal", "state.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / "state.db").write_bytes(backup)
    recording.pass_s(1)
    recording._open()
    recording._push(dice)
    entries = recording.entries
    assert "sequence-gap" in reasons_at(recording, len(entries) - 1)
    assert first_bad(rederived(entries).problems) == len(entries) - 1


def test_a_log_of_an_earlier_version_is_derived_from_where_it_says_whom_it_believed(
    tmp_path: Path, at_end: ExitStack
) -> None:
    recording = at_end.enter_context(Recording(tmp_path))
    recording.device.sync(recording.new_handle())
    dice = random.Random(3)
    recording._push(dice)
    entries = recording.entries
    beginning = [raw for raw in entries if getattr(parse_entry(raw), "kind", "") in {ANCHORS, LOCAL_POLICY}]
    recording.restart()
    recording._reboot(dice)
    recording.pass_s(1)
    recording._push(dice)
    after = recording.entries[len(entries) :]
    now_us = parse_entry(after[0]).received_us
    without = [raw for raw in entries if getattr(parse_entry(raw), "kind", "") not in {ANCHORS, LOCAL_POLICY, START}]
    later = [encode_entry(replace(parse_entry(raw), received_us=now_us)) for raw in beginning]
    found = rederived([*without, *later, *after])
    assert found.problems == []
    assert (found.counts.results, found.counts.underivable) == (3, 2)
