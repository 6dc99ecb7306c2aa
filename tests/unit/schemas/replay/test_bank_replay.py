"""What a kernel extends into each bank is found by the first quote that tells, however the list arrives."""

import itertools

import pytest

from schemas.hashes import HASH_ALGORITHMS, SHA1, SHA256, SHA384, SHA512, HashAlgorithm
from schemas.ima.records import ImaBankMode
from schemas.replay.bank_replay import BankReplay
from schemas.replay.log_replay import IMA, TCG2, Quoted, Replay, ReplayState
from schemas.tpm.pcr import PcrBankSelection, PcrSelection, PcrValues, composite_digest, initial_value
from tests.builders.log_bytes import ima_ng, ima_record, measured, spec_id_record

BANKS = (SHA1, SHA256, SHA384)
FRESH = ReplayState(banks=BANKS)
FILES = [ima_ng(b"/bin/%d" % number, b"%d" % number) for number in range(6)]
BOOT = spec_id_record({4: 20, 11: 32, 12: 48}) + measured(0, b"firmware", banks=BANKS)
VIOLATION = ima_record(b"ima-ng", b"", b"/v\0", template_hash=bytes(20))
SELECTION = PcrSelection(banks=tuple(PcrBankSelection(algorithm=bank, indices=(0, 10)) for bank in BANKS))


def device(padded: tuple[HashAlgorithm, ...], log: bytes, boot: bytes = b"") -> ReplayState:
    """The PCRs of a device whose kernel pads in some banks."""
    modes = {bank: ImaBankMode.PADDED_SHA1 if bank in padded else ImaBankMode.HASHED for bank in BANKS}
    increments = {name: data for name, data in ((TCG2, boot), (IMA, log)) if data}
    return Replay(ReplayState(banks=BANKS, ima_bank_modes=modes), increments).whole.state


def quoted(state: ReplayState, selection: PcrSelection = SELECTION) -> Quoted:
    values = PcrValues({bank: {index: initial_value(bank, index, 0) for _, index in selection} for bank in BANKS})
    digest = composite_digest(selection, values.updated(PcrValues(state.registers)), SHA256)
    return Quoted(selection=selection, digest=digest, algorithm=SHA256)


@pytest.mark.parametrize("padded", [(), (SHA256,), (SHA384,), (SHA256, SHA384)])
def test_each_bank_may_be_padded(padded: tuple[HashAlgorithm, ...]) -> None:
    log = b"".join(FILES)
    there = device(padded, log, BOOT)
    found = BankReplay(FRESH, {TCG2: BOOT, IMA: log}).until(quoted(there))
    assert found is not None
    assert found.state.registers == there.registers
    assert found.state.ima_bank_modes == dict.fromkeys(padded, ImaBankMode.PADDED_SHA1)
    assert found.state.padded == {}


@pytest.mark.parametrize("padded", [(), (SHA384,), (SHA256, SHA384)])
@pytest.mark.parametrize("cuts", list(itertools.combinations(range(1, 6), 2)))
def test_a_list_that_arrives_in_parts_before_its_quote(
    padded: tuple[HashAlgorithm, ...], cuts: tuple[int, int]
) -> None:
    there = device(padded, b"".join(FILES))
    state = FRESH
    for first, last in itertools.pairwise((0, *cuts)):
        state = BankReplay(state, {IMA: b"".join(FILES[first:last])}).whole.state
        assert state.padded.keys() == {SHA256, SHA384}
    found = BankReplay(state, {IMA: b"".join(FILES[cuts[-1] :])}).until(quoted(there))
    assert found is not None
    assert found.state.registers == there.registers
    assert found.state.padded == {}


@pytest.mark.parametrize("padded", [(), (SHA256,), (SHA256, SHA384)])
def test_what_is_beyond_the_quote_stays_behind(padded: tuple[HashAlgorithm, ...]) -> None:
    there = device(padded, b"".join(FILES[:4]))
    found = BankReplay(FRESH, {IMA: b"".join(FILES)}).until(quoted(there))
    assert found is not None
    assert found.consumed[IMA].count == 4
    after = BankReplay(found.state, {IMA: b"".join(FILES[4:])}).until(quoted(device(padded, b"".join(FILES))))
    assert after is not None
    assert after.consumed[IMA].count == 2


def test_a_quote_that_does_not_tell_leaves_it_open() -> None:
    elsewhere = ima_ng(b"/bin/0", b"0", pcr_index=11)
    log = VIOLATION + elsewhere
    first = BankReplay(FRESH, {IMA: log}).until(quoted(device((), log)))
    assert first is not None
    assert first.state.ima_bank_modes == {}
    assert first.state.padded[SHA256][10] == first.state.registers[SHA256][10]
    assert first.state.padded[SHA256][11] == device((SHA256,), log).registers[SHA256][11]
    idle = BankReplay(first.state, {}).until(quoted(device((), log)))
    assert idle is not None
    assert idle.state.padded == first.state.padded
    last = BankReplay(idle.state, {IMA: FILES[0]}).until(quoted(device((SHA256,), log + FILES[0])))
    assert last is not None
    assert last.state.ima_bank_modes == {SHA256: ImaBankMode.PADDED_SHA1}
    assert last.state.registers == device((SHA256,), log + FILES[0]).registers
    assert last.state.padded == {}


def test_once_told_the_other_way_is_not_tried_again() -> None:
    first = BankReplay(FRESH, {IMA: FILES[0]}).until(quoted(device((), FILES[0])))
    assert first is not None
    both = device((SHA256, SHA384), FILES[0] + FILES[1])
    assert BankReplay(first.state, {IMA: FILES[1]}).until(quoted(both)) is None


def test_the_last_part_may_be_a_quote_without_entries() -> None:
    state = BankReplay(FRESH, {IMA: FILES[0]}).whole.state
    found = BankReplay(state, {}).until(quoted(device((SHA384,), FILES[0])))
    assert found is not None
    assert found.state.ima_bank_modes == {SHA384: ImaBankMode.PADDED_SHA1}
    assert found.consumed == {}


def test_a_changed_entry_is_found_in_no_bank_mode() -> None:
    other = b"".join([FILES[0], ima_ng(b"/bin/9", b"1"), FILES[2]])
    assert BankReplay(FRESH, {IMA: b"".join(FILES[:3])}).until(quoted(device((SHA256,), other))) is None


def test_banks_whose_mode_is_given_are_not_asked_for() -> None:
    given = {SHA256: ImaBankMode.HASHED, SHA384: ImaBankMode.PADDED_SHA1}
    start = ReplayState(banks=BANKS, ima_bank_modes=given)
    replay = BankReplay(start, {IMA: FILES[0]})
    assert replay.whole.state.padded == {}
    assert replay.until(quoted(device((SHA384,), FILES[0]))) == replay.whole
    assert BankReplay(start, {IMA: FILES[0]}).until(quoted(device((SHA256, SHA384), FILES[0]))) is None


def test_four_banks_at_once() -> None:
    modes = {SHA256: ImaBankMode.HASHED, SHA384: ImaBankMode.PADDED_SHA1, SHA512: ImaBankMode.PADDED_SHA1}
    there = Replay(ReplayState(banks=HASH_ALGORITHMS, ima_bank_modes=modes), {IMA: FILES[0]}).whole.state
    selection = PcrSelection(banks=tuple(PcrBankSelection(algorithm=bank, indices=(10,)) for bank in HASH_ALGORITHMS))
    digest = composite_digest(selection, PcrValues(there.registers), SHA256)
    quote = Quoted(selection=selection, digest=digest, algorithm=SHA256)
    found = BankReplay(ReplayState(banks=HASH_ALGORITHMS), {IMA: FILES[0]}).until(quote)
    assert found is not None
    assert found.state.registers == there.registers
