"""A resume: PCRs 0 to 15 keep their values, the others and their logs begin again."""

from schemas.hashes import SHA1, SHA256
from schemas.ima.records import ImaBankMode
from schemas.replay.log_replay import ReplayState
from schemas.replay.resume import resumed

STATE = ReplayState(
    banks=(SHA1, SHA256),
    ima_bank_modes={SHA256: ImaBankMode.PADDED_SHA1},
    registers={SHA1: {16: b"x" * 20, 23: b"y" * 20}, SHA256: {0: b"0" * 32, 15: b"f" * 32, 16: b"x" * 32}},
    next_index={"tcg2": 9, "ima": 4, "cel/app": 2, "cel/lost": 3},
    startup_locality=3,
    padded={SHA1: {16: b"z" * 20}, SHA256: {0: b"0" * 32, 15: b"p" * 32, 16: b"z" * 32}},
)


def test_registers_from_16_on_are_lost_and_a_bank_without_others_too() -> None:
    """PC Client Platform TPM Profile: TPM2_Shutdown(STATE) saves PCRs 0 to 15."""
    assert resumed(STATE, ()).registers == {SHA256: {0: b"0" * 32, 15: b"f" * 32}}


def test_the_padded_registers_of_an_undecided_bank_are_lost_too_and_the_bank_stays_undecided() -> None:
    assert resumed(STATE, ()).padded == {SHA1: {}, SHA256: {0: b"0" * 32, 15: b"p" * 32}}


def test_only_lost_logs_begin_again() -> None:
    assert resumed(STATE, {"cel/lost"}).next_index == {"tcg2": 9, "ima": 4, "cel/app": 2}
    assert resumed(STATE, ()).next_index == STATE.next_index


def test_everything_else_stays() -> None:
    after = resumed(STATE, {"cel/lost"})
    assert (after.banks, after.ima_bank_modes) == (STATE.banks, STATE.ima_bank_modes)
    assert (after.boot_log_format, after.startup_locality) == (STATE.boot_log_format, 3)
    assert STATE.registers[SHA256].keys() == STATE.padded[SHA256].keys() == {0, 15, 16}
    assert STATE.next_index["cel/lost"] == 3
