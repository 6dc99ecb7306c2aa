"""CEL logs replayed in any pieces give the state of replaying them at once, PCRs shared with the boot log or not."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from schemas.cel.in_cbor import encode_record, split_records
from schemas.cel.records import ApplicationContent, application_record
from schemas.hashes import SHA1, SHA256
from schemas.replay.log_replay import TCG2, Quoted, Replay, ReplayState
from schemas.tpm.pcr import PcrBankSelection, PcrSelection, initial_value
from tests.builders.log_bytes import measured, spec_id_record

BOOT = spec_id_record({4: 20, 11: 32}) + measured(11, b"stub") + measured(4, b"loader")
FRESH = ReplayState(banks=(SHA1, SHA256))
SELECTION = PcrSelection(banks=(PcrBankSelection(algorithm=SHA256, indices=(4, 11, 14, 15)),))


def entry(number: int, pcr: int) -> bytes:
    content = ApplicationContent(event_type="app", name=f"file {number}", digest=bytes(32))
    return encode_record(application_record(pcr, content, (SHA1.tpm_id, SHA256.tpm_id), number))


def quote(state: ReplayState) -> Quoted:
    values = [state.registers.get(bank, {}).get(index) or initial_value(bank, index) for bank, index in SELECTION]
    return Quoted(selection=SELECTION, digest=SHA256.digest(b"".join(values)), algorithm=SHA256)


@given(st.lists(st.sampled_from([11, 15]), max_size=8), st.integers(0, 6), st.data())
def test_any_pieces_give_the_whole(pcrs: list[int], others: int, data: st.DataObject) -> None:
    logs = {
        "cel/systemd": [entry(number, pcr) for number, pcr in enumerate(pcrs)],
        "cel/app": [entry(number, 14) for number in range(others)],
    }
    whole = Replay(FRESH, {TCG2: BOOT, **{name: b"".join(each) for name, each in logs.items() if each}}).whole
    bounds = {
        name: [0, *sorted(data.draw(st.lists(st.integers(0, len(each)), min_size=3, max_size=3))), len(each)]
        for name, each in logs.items()
    }
    state = Replay(FRESH, {TCG2: BOOT}).whole.state
    for step in range(4):
        pieces = {name: b"".join(logs[name][bounds[name][step] : bounds[name][step + 1]]) for name in logs}
        state = Replay(state, {name: piece for name, piece in pieces.items() if piece}).whole.state
    assert state == whole.state


@given(st.lists(st.sampled_from([11, 15]), min_size=1, max_size=6), st.data())
def test_a_quote_anywhere_in_two_logs_is_found(pcrs: list[int], data: st.DataObject) -> None:
    systemd = [entry(number, pcr) for number, pcr in enumerate(pcrs)]
    app = [entry(number, 14) for number in range(3)]
    kept = data.draw(st.integers(0, len(systemd))), data.draw(st.integers(0, 3))
    parts = {TCG2: BOOT, "cel/systemd": b"".join(systemd[: kept[0]]), "cel/app": b"".join(app[: kept[1]])}
    there = Replay(FRESH, {name: part for name, part in parts.items() if part}).whole.state
    increments = {TCG2: BOOT, "cel/systemd": b"".join(systemd), "cel/app": b"".join(app)}
    found = Replay(FRESH, increments).until(quote(there))
    assert found is not None
    assert found.state == there


@given(st.integers(2, 5), st.data())
def test_every_change_of_order_or_number_is_detected(count: int, data: st.DataObject) -> None:
    entries = [entry(number, 15) for number in range(count)]
    true = quote(Replay(FRESH, {"cel/app": b"".join(entries)}).whole.state)
    changed = list(entries)
    position = data.draw(st.integers(0, count - 1))
    match data.draw(st.sampled_from(["drop", "insert", "swap"])):
        case "drop":
            changed.pop(position)
        case "insert":
            changed.insert(data.draw(st.integers(0, count - 1)), entry(99, 15))
        case _:
            other = data.draw(st.integers(0, count - 1).filter(lambda each: each != position))
            changed[position], changed[other] = changed[other], changed[position]
    assert Replay(FRESH, {"cel/app": b"".join(changed)}).until(true) is None


@given(st.lists(st.sampled_from([11, 15]), max_size=8), st.data())
def test_cutting_gives_back_the_records_and_the_rest(pcrs: list[int], data: st.DataObject) -> None:
    entries = [entry(number, pcr) for number, pcr in enumerate(pcrs)]
    joined = b"".join(entries)
    end = data.draw(st.integers(0, len(joined)))
    records, rest = split_records(joined[:end])
    ends = itertools.accumulate(map(len, entries))
    assert list(records) == entries[: sum(1 for each in ends if each <= end)]
    assert b"".join(records) + rest == joined[:end]
