"""What a push says: full or delta, claims, PCR values, starts of logs."""

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attester_agent.core.agent_state import AgentState, decode_state, encode_state, on_boot, require_baseline
from attester_agent.core.evidence_builder import (
    Push,
    Quote,
    changed_claims,
    draft_body,
    finish_push,
    start_of_push,
)
from attester_agent.core.handle_gate import AcceptedHandle
from attester_agent.core.log_window import Coverage, Entries
from schemas.errors import PeerError
from schemas.hashes import SHA256
from schemas.identifiers import HandleId, Ueid
from schemas.messages.evidence import VANISHED, ClaimValue, SyncProof
from schemas.replay.log_replay import ReplayState
from schemas.tpm.pcr import PcrValues, parse_selection_text
from tests.fakes.attester import read_payload

UEID = Ueid(b"\x01" + bytes(32))
SYNC = SyncProof(attest=b"attest", signature=b"signature")
QUOTE = Quote(attest=b"quote", signature=b"signature")
SELECTION = parse_selection_text("sha256:0-2,10")
STATE = AgentState(ueid=UEID, environment=b"\x00\x0b" + bytes(32), boot=3)


def pcrs(**values: bytes) -> PcrValues:
    return PcrValues({SHA256: {int(name[1:]): value * 32 for name, value in values.items()}})


def push(
    state: AgentState,
    values: PcrValues,
    *,
    claims: dict[str, ClaimValue] | None = None,
    total: int = 0,
    records: tuple[bytes, ...] = (),
    owned: tuple[int, ...] = (10,),
    max_bytes: int = 10_000,
    baseline_every: int = 0,
) -> Push:
    start = state.next_entries.get("ima", 0)
    state = start_of_push(state, baseline_every=baseline_every)
    draft = draft_body(state, SYNC, claims or {"os": "x"}, ["ima"], {}, selection=SELECTION, max_bytes=max_bytes)
    registers = {SHA256: dict.fromkeys(owned, b"owned" * 6 + b"xx")}
    coverage = Coverage(replay=ReplayState(banks=(SHA256,), registers=registers), totals={"ima": total})
    logs = {"ima": Entries(start=start, records=records)}
    return finish_push(draft, QUOTE, coverage, logs, values, selection=SELECTION, max_bytes=max_bytes)


def test_the_first_push_is_full_and_the_next_names_it() -> None:
    first = push(STATE, pcrs(p0=b"0", p1=b"1", p2=b"2", p10=b"x"))
    evidence = read_payload(first.payload)
    assert (evidence.body.sequence, evidence.body.previous, first.full) == (0, None, True)
    assert dict(evidence.unsigned_pcrs[SHA256]) == {0: b"0" * 32, 1: b"1" * 32, 2: b"2" * 32}
    second = push(first.state, pcrs(p0=b"0", p1=b"1", p2=b"2"))
    later = read_payload(second.payload)
    assert (later.body.sequence, later.body.previous) == (1, hashlib.sha256(evidence.raw_body).digest())
    assert later.body.claims == {}
    assert later.unsigned_pcrs == {}


def test_only_values_that_changed_travel_and_none_that_a_log_explains() -> None:
    first = push(STATE, pcrs(p0=b"0", p1=b"1", p2=b"2", p10=b"x"))
    second = push(first.state, pcrs(p0=b"0", p1=b"9", p2=b"8"), owned=(2, 10))
    assert read_payload(second.payload).unsigned_pcrs == {SHA256: {1: b"9" * 32}}
    assert second.state.pcrs == pcrs(p0=b"0", p1=b"9", p2=b"2")


def test_changed_claims_travel_and_a_vanished_one_as_empty_text() -> None:
    first = push(STATE, pcrs(), claims={"os": "x", "kernel": "1", "flag": True})
    second = push(first.state, pcrs(), claims={"kernel": "2", "flag": True})
    assert read_payload(second.payload).body.claims == {"kernel": "2", "os": VANISHED}
    third = push(second.state, pcrs(), claims={"kernel": "2", "flag": True})
    assert read_payload(third.payload).body.claims == {}
    full = push(require_baseline(third.state), pcrs(), claims={"kernel": "2", "flag": True})
    assert read_payload(full.payload).body.claims == {"kernel": "2", "flag": True}


def test_true_is_not_one() -> None:
    assert changed_claims({"a": True}, {"a": 1}) == {"a": 1}


def test_a_long_log_travels_in_parts() -> None:
    records = tuple(bytes([number]) * 1000 for number in range(10))
    state, arrived, parts = STATE, b"", []
    while True:
        made = push(state, pcrs(), total=10, records=records[state.next_entries.get("ima", 0) :], max_bytes=4096)
        evidence = read_payload(made.payload)
        assert evidence.body.logs == {"ima": state.next_entries.get("ima", 0)}
        assert evidence.unsigned_increments["ima"].total == 10
        assert len(made.payload) <= 4096
        arrived += evidence.unsigned_increments["ima"].records
        parts.append(made.complete)
        state = made.state
        if made.complete:
            break
    assert arrived == b"".join(records)
    assert parts == [False, False, False, True]


def test_entries_of_a_boot_log_are_chosen_before_the_quote_and_signed() -> None:
    records = tuple(bytes([number]) * 900 for number in range(5))
    state, arrived, ima = STATE, b"", b""
    while True:
        start = state.next_entries.get("tcg2", 0)
        early = {"tcg2": Entries(start=start, records=records[start:])}
        draft = draft_body(state, SYNC, {}, ["ima", "tcg2"], early, selection=SELECTION, max_bytes=4096)
        coverage = Coverage(replay=ReplayState(banks=(SHA256,)), totals={"tcg2": 5, "ima": 1})
        logs = early | {"ima": Entries(start=0, records=(b"i" * 500,))}
        made = finish_push(draft, QUOTE, coverage, logs, pcrs(), selection=SELECTION, max_bytes=4096)
        evidence = read_payload(made.payload)
        increment = evidence.unsigned_increments["tcg2"]
        assert evidence.body.increment_digests == {"tcg2": hashlib.sha256(increment.records).digest()}
        assert (increment.total, len(made.payload) <= 4096) == (5, True)
        arrived += increment.records
        if "ima" in evidence.unsigned_increments:
            ima += evidence.unsigned_increments["ima"].records
        state = made.state
        if made.complete:
            break
    assert arrived == b"".join(records)
    assert ima == b"i" * 500  # as soon as there is room for it, once


def test_every_so_many_pushes_a_baseline() -> None:
    state, kinds = STATE, []
    for _ in range(7):
        made = push(state, pcrs(), baseline_every=2)
        kinds.append(made.full)
        state = made.state
    assert kinds == [True, False, False, True, False, False, True]


def test_parts_of_a_long_log_do_not_bring_the_next_baseline_nearer() -> None:
    records = (b"x" * 3000,) * 4
    state, kinds = STATE, []
    for _ in range(4):
        start = state.next_entries.get("ima", 0)
        made = push(state, pcrs(), total=4, records=records[start:], max_bytes=4096, baseline_every=1)
        kinds.append((made.full, made.complete))
        state = made.state
    assert kinds == [(True, False), (False, False), (False, False), (False, True)]


def test_another_boot_needs_a_baseline_the_same_one_does_not() -> None:
    made = push(STATE, pcrs(), total=2, records=(b"x", b"y"))
    assert on_boot(made.state, 3) is made.state
    rebooted = on_boot(made.state, 4)
    assert (rebooted.previous, rebooted.next_entries, rebooted.boot, rebooted.sequence) == (None, {}, 4, 1)


def test_entries_beyond_the_quote_are_reported() -> None:
    assert push(STATE, pcrs(), total=1, records=(b"x", b"y")).behind
    assert not push(STATE, pcrs(), total=2, records=(b"x", b"y")).behind


@given(
    claims=st.dictionaries(st.text(min_size=1, max_size=8), st.one_of(st.text(max_size=8), st.integers(0, 9))),
    later=st.dictionaries(st.text(min_size=1, max_size=8), st.one_of(st.text(max_size=8), st.integers(0, 9))),
)
def test_deltas_of_claims_add_up(claims: dict[str, ClaimValue], later: dict[str, ClaimValue]) -> None:
    known = {**claims, **changed_claims(claims, later)}
    assert {name: value for name, value in known.items() if value != VANISHED} == {
        name: value for name, value in later.items() if value != VANISHED
    }


def test_the_state_survives_being_written() -> None:
    first = push(STATE, pcrs(p0=b"0"), claims={"a": b"bytes", "b": 3, "c": False}, total=1, records=(b"x",))
    handle = AcceptedHandle(id=HandleId(bytes(32)), time_us=1, expires_us=2)
    state = replace(first.state, handle=handle, solicits={"v": 9})
    assert decode_state(encode_state(state)) == state
    assert decode_state(encode_state(STATE)) == STATE


@pytest.mark.parametrize(
    "damage", [b"", b"\xa0", encode_state(STATE)[:-1], encode_state(STATE).replace(b"\x00\x01", b"\x00\x02", 1)]
)
def test_a_damaged_state_is_refused(damage: bytes) -> None:
    with pytest.raises(PeerError):
        decode_state(damage)
