"""However a log is cut, repeated, lost and sent again, a verifier ends where one push of everything leads; no change of
an entry passes.

And an agent whose device measures all the time sends each entry once.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from attester_agent.core.agent_state import AgentState, on_solicit
from attester_agent.core.handle_gate import AcceptedHandle
from attester_agent.push_maker import PushMaker
from schemas.hashes import SHA256
from schemas.identifiers import HandleId
from schemas.messages.evidence import Evidence, LogIncrement, encode_evidence, parse_evidence
from schemas.messages.solicit import Solicit
from schemas.tpm.pcr import parse_selection_text
from schemas.verdicts import Tier
from tests.builders.log_bytes import ima_ng, ima_record
from tests.fakes.attester import MemoryLog, SoftTpm, read_payload, state_of
from tests.worlds.device import GOOD_FILES, SELECTION, T0_US, FakeDevice, make_handle, make_policy, make_trust
from verifier_worker.core.state import AttesterState
from verifier_worker.core.state_codec import decode_state, encode_state
from verifier_worker.core.step import Step, step

HANDLE = make_handle()
POLICY = make_policy()

boot_events = st.lists(st.tuples(st.integers(0, 9), st.binary(max_size=8)), max_size=8)
good_files = st.sampled_from(sorted(GOOD_FILES.items()))
bad_files = st.tuples(st.just(b"/tmp/x"), st.binary(min_size=1, max_size=3))
file_lists = st.lists(st.one_of(good_files, good_files, bad_files), max_size=20)
cuts = st.lists(st.integers(1, 6), min_size=1, max_size=6)


@dataclass
class Verifier:
    """A state that only moves by ``step``, through the wire form of what arrives and its own stored form."""

    device: FakeDevice
    state: AttesterState | None = None

    def __post_init__(self) -> None:
        self.trust = make_trust(self.device, handles=(HANDLE,), policy=POLICY)

    def take(self, evidence: Evidence) -> Step:
        now_us = T0_US + self.device.clock_ms * 1000 + 1_000_000
        parsed = parse_evidence(encode_evidence(evidence))
        taken = step(self.state, self.device.ueid, parsed, now_us, self.trust)
        self.state = None if taken.state is None else decode_state(encode_state(taken.state))
        return taken


def device_with(events: list[tuple[int, bytes]], files: list[tuple[bytes, bytes]]) -> FakeDevice:
    """A device that booted like this and ran these files."""
    device = FakeDevice()
    device.pcrs = {index: bytes(32) for index in range(24)}
    del device.boot_log[1:]
    for index, data in [*((index, b"firmware") for index in range(8)), *events]:
        device.measure_boot(index, data)
    aggregate = hashlib.sha256(b"".join(device.pcrs[index] for index in range(10))).digest()
    device.ima_list.clear()
    device.measure_record(ima_record(b"ima-ng", b"sha256:\0" + aggregate, b"boot_aggregate\0"))
    return run_all(device, files)


def run_all(device: FakeDevice, files: list[tuple[bytes, bytes]]) -> FakeDevice:
    for path, content in files:
        device.run(path, content)
    return device


def outcome(state: AttesterState | None) -> object:
    """What must not depend on how the log came."""
    assert state is not None
    unexpected = (state.measured.unexpected, state.measured.unexpected_total, state.measured.violations)
    verdict = (state.verdict.status, state.verdict.reasons, dict(state.verdict.vector))
    logs = (state.replay, state.settled, dict(state.tails))
    return logs, unexpected, dict(state.measured.owners), state.unlogged, dict(state.claims), verdict


def parts(device: FakeDevice, sizes: list[int]) -> Iterator[Evidence]:
    """The device's logs in pushes of so many entries of each; boot log first, as agents send it."""
    turn = 0
    while True:
        size = sizes[turn % len(sizes)]
        booted = device.sent.get("tcg2", 0) + size >= len(device.boot_log)
        yield cut_push(device, {"tcg2": size, "ima": size if booted else 0})
        turn += 1
        if device.sent == {"tcg2": len(device.boot_log), "ima": len(device.ima_list)}:
            return


def cut_push(device: FakeDevice, limits: dict[str, int], **options: object) -> Evidence:
    """A push of at most so many entries, which tells of all that are still to come."""
    push = device.push(limits=limits, **options)  # type: ignore[arg-type]  # as FakeDevice.push takes them
    waiting = {"tcg2": len(device.boot_log), "ima": len(device.ima_list)}
    told = {
        name: LogIncrement(records=b"", total=total)
        for name, total in waiting.items()
        if name not in push.unsigned_increments and push.body.logs[name] < total
    }
    return replace(push, unsigned_increments={**push.unsigned_increments, **told})


@settings(deadline=None)
@given(events=boot_events, files=file_lists, sizes=cuts)
def test_any_split_gives_the_state_of_one_batch(
    events: list[tuple[int, bytes]], files: list[tuple[bytes, bytes]], sizes: list[int]
) -> None:
    device = device_with(events, files)
    device.sync(HANDLE)
    once, split = Verifier(device), Verifier(device)
    once.take(device.push())
    device.previous = None
    device.sent.clear()
    for push in parts(device, sizes):
        split.take(push)
    assert outcome(split.state) == outcome(once.state)


faults = st.lists(
    st.tuples(
        st.lists(st.one_of(good_files, bad_files), max_size=4),  # measured before the push
        st.sampled_from(["arrive", "arrive", "lose", "hold", "twice", "resend", "old", "baseline"]),
        st.integers(1, 5),
    ),
    min_size=1,
    max_size=14,
)


@settings(deadline=None, max_examples=150)
@given(events=boot_events, files=file_lists, story=faults)
def test_any_interleaving_of_faults_and_resends_ends_in_the_state_of_one_batch(
    events: list[tuple[int, bytes]],
    files: list[tuple[bytes, bytes]],
    story: list[tuple[list[tuple[bytes, bytes]], str, int]],
) -> None:
    device = device_with(events, files)
    device.sync(HANDLE)
    verifier = Verifier(device)
    sent: list[Evidence] = []
    held: list[Evidence] = []
    for more, fault, size in story:
        run_all(device, more)
        limit = {"tcg2": len(device.boot_log), "ima": size}
        full = fault in {"resend", "baseline"}
        resend = {name: max(0, count - size) for name, count in device.sent.items()} if fault == "resend" else None
        resend = {"tcg2": 0, "ima": 0} if fault == "baseline" else resend
        push = cut_push(device, limit, full=full or device.previous is None, resend=resend)
        arriving = {"lose": [], "hold": [], "twice": [push, push], "old": [push, sent[0]] if sent else [push]}
        for each in arriving.get(fault, [push]):
            verifier.take(each)
        if fault == "hold":
            held.append(push)
        elif held:
            verifier.take(held.pop())
        sent.append(push)
    taken = verifier.take(device.push())
    for _ in range(4):  # the verifier asks, the device answers
        if taken.solicit is None:
            break
        taken = verifier.take(device.push(full=True, resend=taken.solicit.logs))
    assert taken.solicit is None
    fresh = Verifier(device)
    fresh.take(device.push(full=True, resend={"tcg2": 0, "ima": 0}))
    assert outcome(verifier.state) == outcome(fresh.state)


forgeries = st.sampled_from(["flip", "drop", "swap", "insert", "duplicate", "cut"])


def forge(entries: list[bytes], how: str, data: st.DataObject) -> list[bytes]:
    """The entries with one thing changed."""
    at = data.draw(st.integers(0, len(entries) - 1))
    entry = entries[at]
    match how:
        case "flip":
            bit = data.draw(st.integers(0, len(entry) * 8 - 1))
            flipped = bytearray(entry)
            flipped[bit // 8] ^= 1 << bit % 8
            return [*entries[:at], bytes(flipped), *entries[at + 1 :]]
        case "drop":
            return [*entries[:at], *entries[at + 1 :]]
        case "swap":
            assume(at and entries[at] != entries[at - 1])
            return [*entries[: at - 1], entries[at], entries[at - 1], *entries[at + 1 :]]
        case "insert":
            return [*entries[:at], ima_ng(b"/usr/bin/true", b"true"), *entries[at:]]
        case "duplicate":
            return [*entries[:at], entry, *entries[at:]]
        case _:
            return [*entries[:at], entry[: data.draw(st.integers(0, len(entry) - 1))]]


@settings(deadline=None, max_examples=300)
@given(
    before=st.lists(good_files, max_size=4),
    files=st.lists(good_files, min_size=1, max_size=6),
    how=forgeries,
    honest_total=st.booleans(),
    data=st.data(),
)
def test_no_change_of_an_increment_is_affirmed_by_the_push_that_covers_it(
    before: list[tuple[bytes, bytes]],
    files: list[tuple[bytes, bytes]],
    how: str,
    honest_total: bool,
    data: st.DataObject,
) -> None:
    device = device_with([], before)
    device.sync(HANDLE)
    verifier = Verifier(device)
    verifier.take(device.push())
    assert verifier.state is not None
    assert verifier.state.verdict.status is Tier.AFFIRMING
    start = len(device.ima_list)
    run_all(device, files)
    push = device.push()
    entries = forge(device.ima_list[start:], how, data)
    total = len(device.ima_list) if honest_total else start + max(1, len(entries))
    changed = {"ima": LogIncrement(records=b"".join(entries), total=total)} if entries else {}
    taken = verifier.take(replace(push, unsigned_increments=changed))
    assert taken.state is not None
    if how in {"insert", "duplicate"} and taken.refused is None and taken.state.tails:
        # Added behind what the quote covers: no part of the evidence, and gone once the true entries are there.
        assert taken.state.replay.next_index["ima"] == len(device.ima_list)
    else:
        assert taken.refused is not None or taken.state.verdict.status is not Tier.AFFIRMING
    if taken.refused is None and taken.state.verdict.status is not Tier.AFFIRMING:
        taken = verifier.take(device.push())
    for _ in range(4):
        if taken.solicit is None:
            break
        taken = verifier.take(device.push(full=True, resend=taken.solicit.logs))
    run_all(device, files)
    taken = verifier.take(device.push())
    for _ in range(4):
        if taken.solicit is None:
            break
        taken = verifier.take(device.push(full=True, resend=taken.solicit.logs))
    fresh = Verifier(device)
    fresh.take(device.push(full=True, resend={"tcg2": 0, "ima": 0}))
    assert outcome(verifier.state) == outcome(fresh.state)


@settings(deadline=None, max_examples=60)
@given(how=forgeries, data=st.data())
def test_no_change_of_a_boot_log_is_taken_in(how: str, data: st.DataObject) -> None:
    device = device_with([], [])
    device.sync(HANDLE)
    verifier = Verifier(device)
    push = device.push()
    entries = forge(device.boot_log, how, data)
    changed = LogIncrement(records=b"".join(entries), total=max(1, len(entries)))
    taken = verifier.take(replace(push, unsigned_increments={**push.unsigned_increments, "tcg2": changed}))
    assert taken.refused is not None
    assert taken.state is None


growth = st.lists(
    st.tuples(
        st.integers(0, 12),  # measured before the push
        st.integers(0, 3),  # measured between its quote and the reading of the logs
        st.booleans(),  # the agent is killed afterwards
    ),
    min_size=1,
    max_size=12,
)


@settings(deadline=None, max_examples=60)
@given(story=growth, asked=st.none() | st.integers(0, 20), data=st.data())
def test_an_agent_sends_every_entry_once_however_the_log_grows(
    story: list[tuple[int, int, bool]], asked: int | None, data: st.DataObject
) -> None:
    tpm, ima = SoftTpm(), MemoryLog()
    state: AgentState = state_of(tpm)
    handle = AcceptedHandle(id=HandleId(bytes(32)), time_us=1, expires_us=2)
    max_bytes = data.draw(st.sampled_from([3000, 4096, 100_000]))

    def measure(count: int) -> None:
        for _ in range(count):
            record = ima_ng(b"/usr/bin/%d" % len(ima.records), b"x")
            ima.measure(tpm, record, SHA256.digest(record[28 + len(b"ima-ng") + 4 :]))

    def new_maker() -> PushMaker:
        return PushMaker(tpm, [ima], selection=parse_selection_text(SELECTION), max_bytes=max_bytes)

    maker = new_maker()
    arrived: list[bytes] = []
    for number, (before, during, killed) in enumerate([*story, *[(0, 0, False)] * 60]):
        if number == len(story) and asked is not None:  # a verifier asks for entries that were sent before
            solicit = Solicit(ueid=state.ueid, verifier="v", issued_us=1, reason="r", full=True, logs={"ima": asked})
            state = on_solicit(state, solicit)
            del arrived[min(asked, len(arrived)) :]
        measure(before)
        tpm.before_read = lambda during=during: measure(during)
        made = maker.make(state, handle, {})
        state = made.state
        evidence = read_payload(made.payload)
        increment = evidence.unsigned_increments.get("ima")
        assert evidence.body.logs["ima"] == len(arrived)
        if increment is not None:
            count = state.next_entries["ima"] - len(arrived)
            entries = ima.records[len(arrived) :][:count]
            assert increment.records == b"".join(entries)
            assert increment.total >= len(arrived) + count
            arrived += entries
        if killed:
            maker = new_maker()
        if number > len(story) and made.complete and not made.behind:
            break
    assert arrived == ima.records
