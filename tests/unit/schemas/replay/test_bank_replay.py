"""What a kernel extends into each bank is found by the first quote that tells, however the list arrives."""

import itertools
from collections.abc import Mapping

import pytest

from schemas.hashes import HASH_ALGORITHMS, SHA1, SHA256, SHA384, SHA512, HashAlgorithm
from schemas.ima.records import ImaBankMode
from schemas.replay import bank_replay
from schemas.replay.bank_replay import BankReplay
from schemas.replay.log_replay import IMA, TCG2, Quoted, Replay, ReplayState
from schemas.replay.resume import resumed
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
    assert found.state.padded == {}
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


# ── what one quote tells of each bank ────────────────────────────────────────────────────────────────────────────────


def selected(*banks: HashAlgorithm, indices: tuple[int, ...] = (10,)) -> PcrSelection:
    return PcrSelection(banks=tuple(PcrBankSelection(algorithm=bank, indices=indices) for bank in banks))


def test_a_quote_tells_of_the_banks_that_it_selects_and_of_no_other() -> None:
    there = device((SHA256, SHA384), FILES[0])
    first = BankReplay(FRESH, {IMA: FILES[0]}).until(quoted(there, selected(SHA1, SHA256)))
    assert first is not None
    assert first.state.ima_bank_modes == {SHA256: ImaBankMode.PADDED_SHA1}
    assert first.state.padded == {SHA384: {10: there.registers[SHA384][10]}}
    later = device((SHA256, SHA384), FILES[0] + FILES[1])
    last = BankReplay(first.state, {IMA: FILES[1]}).until(quoted(later, selected(SHA384)))
    assert last is not None
    assert last.state.ima_bank_modes == {SHA256: ImaBankMode.PADDED_SHA1, SHA384: ImaBankMode.PADDED_SHA1}
    assert last.state.registers == later.registers
    assert last.state.padded == {}


def test_one_entry_in_a_selected_pcr_is_enough_to_tell() -> None:
    log = FILES[0] + ima_ng(b"/bin/x", b"", pcr_index=11) + VIOLATION
    for padded in ((), (SHA256, SHA384)):
        found = BankReplay(FRESH, {IMA: log}).until(quoted(device(padded, log), selected(*BANKS)))
        assert found is not None
        assert found.state.ima_bank_modes == dict.fromkeys(padded, ImaBankMode.PADDED_SHA1)
        assert found.state.padded == {}


def test_an_entry_of_an_earlier_part_tells_too() -> None:
    """The quote comes with an entry that tells nothing, but an entry before it does."""
    state = BankReplay(FRESH, {IMA: FILES[0]}).whole.state
    found = BankReplay(state, {IMA: VIOLATION}).until(quoted(device((), FILES[0] + VIOLATION), selected(*BANKS)))
    assert found is not None
    assert found.state.ima_bank_modes == {}
    assert found.state.padded == {}


def test_what_is_left_open_goes_as_far_as_the_quote() -> None:
    """Entries beyond the quote are replayed again: they must not be in the other assumption already."""
    log = VIOLATION + ima_ng(b"/bin/x", b"", pcr_index=11)
    there = device((), log)
    found = BankReplay(FRESH, {IMA: log + FILES[0] + FILES[1]}).until(quoted(there, selected(*BANKS)))
    assert found is not None
    assert found.consumed[IMA].count == 2
    assert found.state.padded == {bank: device((bank,), log).registers[bank] for bank in (SHA256, SHA384)}
    whole = device((SHA384,), log + FILES[0] + FILES[1])
    last = BankReplay(found.state, {IMA: FILES[0] + FILES[1]}).until(quoted(whole, selected(*BANKS)))
    assert last is not None
    assert last.state.registers == whole.registers


def test_a_quote_before_the_list_leaves_nothing_open() -> None:
    """With no entry covered there is nothing to carry: the boot log is the same under either assumption."""
    found = BankReplay(FRESH, {TCG2: BOOT, IMA: FILES[0]}).until(quoted(device((), b"", BOOT)))
    assert found is not None
    assert found.state.next_index == {TCG2: 2}
    assert (found.state.ima_bank_modes, found.state.padded) == ({}, {})


def test_without_a_list_nothing_is_open() -> None:
    replay = BankReplay(FRESH, {TCG2: BOOT})
    assert replay.next_index == {TCG2: 2}
    assert replay.whole.state.padded == {}
    found = replay.until(quoted(device((), b"", BOOT)))
    assert found is not None
    assert found.state.padded == {}


def test_a_bank_whose_mode_is_given_stays_beside_one_that_is_open() -> None:
    start = ReplayState(banks=BANKS, ima_bank_modes={SHA384: ImaBankMode.PADDED_SHA1})
    for padded in ((SHA384,), (SHA256, SHA384)):
        there = device(padded, FILES[0] + FILES[1])
        state = BankReplay(start, {IMA: FILES[0]}).whole.state
        assert state.padded.keys() == {SHA256}
        found = BankReplay(state, {IMA: FILES[1]}).until(quoted(there))
        assert found is not None
        assert found.state.registers == there.registers
        assert found.state.ima_bank_modes == dict.fromkeys(padded, ImaBankMode.PADDED_SHA1)


def test_sha1_is_never_open() -> None:
    """SHA-1 of the template data is in the list itself."""
    assert BankReplay(FRESH, {IMA: FILES[0]}).whole.state.padded.keys() == {SHA256, SHA384}


def test_a_list_that_extended_a_lost_pcr_is_replayed_after_a_resume() -> None:
    """The list arrives in parts, so the bank is undecided when the machine resumes."""
    lost = ima_ng(b"/bin/lost", b"", pcr_index=16)
    state = resumed(BankReplay(FRESH, {IMA: FILES[0] + lost}).whole.state, ())
    there = device((SHA384,), FILES[0] + FILES[1])
    found = BankReplay(state, {IMA: FILES[1]}).until(quoted(there, selected(*BANKS, indices=(10, 16))))
    assert found is not None
    assert found.state.ima_bank_modes == {SHA384: ImaBankMode.PADDED_SHA1}
    assert found.state.registers == there.registers


def test_an_empty_list_leaves_the_banks_undecided() -> None:
    assert BankReplay(FRESH, {IMA: b""}).whole.state.padded == {SHA256: {}, SHA384: {}}


def test_values_beside_the_logs_are_used_in_every_mode() -> None:
    beside = PcrValues({SHA256: {7: b"\x07" * 32}})
    for padded in ((), (SHA256,)):
        there = device(padded, FILES[0])
        selection = selected(SHA256, indices=(7, 10))
        digest = composite_digest(selection, beside.updated(PcrValues(there.registers)), SHA256)
        quote = Quoted(selection=selection, digest=digest, algorithm=SHA256)
        assert BankReplay(FRESH, {IMA: FILES[0]}).until(quote, beside) is not None
        assert BankReplay(FRESH, {IMA: FILES[0]}).until(quote) is None


def test_a_decided_bank_costs_no_further_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    replays = []

    class Counted(Replay):
        def __init__(self, state: ReplayState, increments: Mapping[str, bytes]) -> None:
            replays.append(increments)
            super().__init__(state, increments)

    monkeypatch.setattr(bank_replay, "Replay", Counted)
    given = {SHA256: ImaBankMode.HASHED, SHA384: ImaBankMode.PADDED_SHA1}
    replay = BankReplay(ReplayState(banks=BANKS, ima_bank_modes=given), {IMA: FILES[0]})
    assert replay.until(quoted(device((SHA384,), FILES[0]))) == replay.whole
    assert len(replays) == 1


def test_the_state_carries_both_assumptions_over_boot_and_list() -> None:
    state = BankReplay(FRESH, {TCG2: BOOT, IMA: FILES[0]}).whole.state
    assert state.registers == device((), FILES[0], BOOT).registers
    padded = device((SHA256, SHA384), FILES[0], BOOT).registers
    assert state.padded == {bank: padded[bank] for bank in (SHA256, SHA384)}
    again = BankReplay(state, {}).whole.state
    assert again.padded == state.padded
