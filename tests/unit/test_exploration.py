"""The tool behind ``./run explore``: a small scope holds, and it finds each of these faults when it is put in."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from relying_party import result_board
from schemas.reasons import Reason
from tests.exploration.__main__ import main
from tests.exploration.board import explore_board
from tests.exploration.scope import Scope
from tests.exploration.search import Move, explore
from tests.exploration.worlds import explore_verifier
from verifier_worker.adapters import trust_store
from verifier_worker.core import conclusion, state_codec, step
from verifier_worker.core.checks import admission, appraisal
from verifier_worker.core.clock_changes import ClockChange
from verifier_worker.core.lasting import Lasting
from verifier_worker.core.state import AttesterState


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def test_four_messages_in_every_order() -> None:
    found = explore_verifier(Scope(count=4, alter=False), waits=1)
    assert found.problem == "", found.trace
    assert found.whole
    assert found.states > 100
    assert {"affirming, fresh", "contraindicated, fresh", "none, pending", "refused"} <= found.seen.keys()


def test_three_messages_with_every_swap_of_an_unsigned_part() -> None:
    found = explore_verifier(Scope(count=3), waits=0)
    assert found.problem == "", found.trace
    assert found.whole


def test_two_verifiers_and_a_board_get_three_messages_in_every_order() -> None:
    found = explore_board(Scope(count=3, alter=False), waits=0, restores=False)
    assert found.problem == "", found.trace
    assert found.whole
    assert {"standing: affirming, fresh", "standing: contraindicated, fresh"} <= found.seen.keys()


def test_the_search_finds_the_shortest_way() -> None:
    def moves(at: int) -> Iterator[Move[int]]:
        for step_by in (1, 3):
            yield Move(words=f"+{step_by}", after=at + step_by, key=at + step_by, problem="ten" * (at + step_by == 10))

    found = explore(0, 0, moves)
    assert found.problem == "ten"
    assert sorted(found.trace) == ["+1", "+3", "+3", "+3"]


# ── faults that it must find ─────────────────────────────────────────────────────────────────────────────────────────


def _without(name: str, checks: tuple[Callable[..., object], ...]) -> tuple[Callable[..., object], ...]:
    assert any(check.__name__ == name for check in checks)
    return tuple(check for check in checks if check.__name__ != name)


def _no_endorsement_check(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(admission, "ADMISSION", _without("attester_is_endorsed", admission.ADMISSION))


def _no_order_of_evidence(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(admission, "_clock_change", lambda *_: ClockChange.RUNNING)


def _no_handle_check(patch: pytest.MonkeyPatch) -> None:
    checks = _without("handle_is_known_and_current", appraisal.MOMENT_CHECKS)
    patch.setattr(appraisal, "MOMENT_CHECKS", checks)


def _no_file_check(patch: pytest.MonkeyPatch) -> None:
    checks = _without("files_have_reference_values", appraisal.MEASUREMENT_CHECKS)
    patch.setattr(appraisal, "MEASUREMENT_CHECKS", checks)


def _no_versions(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(trust_store, "_check_version", lambda *_: None)


def _a_refusal_that_forgets_the_chain(patch: pytest.MonkeyPatch) -> None:
    def refuse(state: AttesterState | None, reason: Reason, received_us: int) -> AttesterState | None:
        return None if state is None else replace(state, chained=None)

    patch.setattr(step, "refuse", refuse)


def _findings_that_do_not_last(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(conclusion, "_lasting", lambda *_: Lasting())


def _a_codec_that_forgets_findings(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(state_codec, "_decode_lasting", lambda _: Lasting())


def _a_step_that_raises(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(step, "OUTCOMES", {})


FAULTS: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], int, str]] = {
    "no endorsement check": (_no_endorsement_check, 5, "endorsement was revoked"),
    "no order of evidence": (_no_order_of_evidence, 3, "older than the last accepted one"),
    "no handle check": (_no_handle_check, 2, "a handle that it was not given"),
    "no file check": (_no_file_check, 3, "forgot a finding"),
    "no versions": (_no_versions, 5, "older endorsement is in force"),
    "a step raises": (_a_step_that_raises, 3, "KeyError"),
    "a refusal changes the state": (_a_refusal_that_forgets_the_chain, 3, "changed the state"),
    "findings do not last": (_findings_that_do_not_last, 4, "forgot a finding"),
    "a restart forgets findings": (_a_codec_that_forgets_findings, 4, "restarts before"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_it_finds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in, count, words = FAULTS[name]
    put_in(monkeypatch)
    found = explore_verifier(Scope(count=count, alter=False), waits=0)
    assert words in found.problem, found
    assert found.trace


def _a_board_that_believes_the_last_word(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(result_board, "_badness", lambda verified: (verified.result.issued_s,))


def _a_board_that_goes_back(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(result_board, "_is_older", lambda *_: False)


def _a_board_that_refuses_more(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(result_board, "_is_older", lambda *_: True)


BOARD_FAULTS: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], str]] = {
    "the last word": (_a_board_that_believes_the_last_word, "a standing follows the evidence"),
    "it goes back": (_a_board_that_goes_back, "a board never goes back"),
    "it refuses more": (_a_board_that_refuses_more, "a board takes what is new"),
}


@pytest.mark.parametrize("name", BOARD_FAULTS)
def test_at_a_board_it_finds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in, words = BOARD_FAULTS[name]
    put_in(monkeypatch)
    found = explore_board(Scope(count=3, alter=False), waits=0, restores=False)
    assert words in found.problem, found


def test_the_program_tells_the_shortest_way_and_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _no_handle_check(monkeypatch)
    assert main(["--messages", "2"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("BROKEN: affirms only what is good") for line in lines)
    assert "  1. is given baseline" in lines


def test_the_program_tells_how_much_it_visited(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--messages", "2", "--depth", "2"]) == 0
    assert "states visited (no deeper)" in capsys.readouterr().out
