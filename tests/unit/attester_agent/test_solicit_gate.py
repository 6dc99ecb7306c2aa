"""Which solicits an agent follows, and what following does to the state."""

import pytest

from attester_agent.core.agent_state import MAX_VERIFIERS, AgentState, on_solicit
from attester_agent.core.solicit_gate import check_solicit
from schemas.errors import PeerError
from schemas.identifiers import Ueid
from schemas.messages.solicit import Solicit
from schemas.reasons import Reason

UEID = Ueid(b"\x01" + bytes(32))
OTHER = Ueid(b"\x01" + bytes([1]) * 32)


def solicit(issued_us: int = 10, verifier: str = "v", **changes: object) -> Solicit:
    values: dict[str, object] = {"ueid": UEID, "reason": "sequence-gap", "full": False, "logs": {}}
    return Solicit(verifier=verifier, issued_us=issued_us, **(values | changes))  # type: ignore[arg-type]  # as named


def state() -> AgentState:
    return AgentState(
        ueid=UEID, environment=b"name", sequence=7, previous=bytes(32), next_entries={"ima": 100, "tcg2": 30}
    )


def test_a_solicit_for_another_device_is_refused() -> None:
    with pytest.raises(PeerError) as caught:
        check_solicit(solicit(ueid=OTHER), UEID, {})
    assert caught.value.reason is Reason.OBJECT_MISDIRECTED


@pytest.mark.parametrize("issued_us", [9, 10])
def test_a_solicit_works_once(issued_us: int) -> None:
    check_solicit(solicit(11), UEID, {"v": 10})
    check_solicit(solicit(issued_us, verifier="another"), UEID, {"v": 10})
    with pytest.raises(PeerError) as caught:
        check_solicit(solicit(issued_us), UEID, {"v": 10})
    assert caught.value.reason is Reason.OBJECT_ROLLED_BACK


def test_a_full_solicit_keeps_the_logs_where_they_are_unless_it_says_otherwise() -> None:
    after = on_solicit(state(), solicit(full=True, logs={"ima": 40}))
    assert (after.previous, after.next_entries) == (None, {"ima": 40, "tcg2": 30})
    assert after.sequence == 7
    assert after.solicits == {"v": 10}


def test_a_solicit_that_is_not_full_keeps_the_chain() -> None:
    after = on_solicit(state(), solicit(logs={"tcg2": 0}))
    assert (after.previous, after.next_entries) == (bytes(32), {"ima": 100, "tcg2": 0})


def test_no_verifier_can_make_the_agent_skip_entries() -> None:
    after = on_solicit(state(), solicit(logs={"ima": 101, "cel": 5}))
    assert after.next_entries == {"ima": 100, "tcg2": 30, "cel": 0}


def test_only_so_many_verifiers_are_remembered_the_newest() -> None:
    current = state()
    for number in range(MAX_VERIFIERS + 3):
        current = on_solicit(current, solicit(100 + number, verifier=f"v{number}"))
    assert len(current.solicits) == MAX_VERIFIERS
    assert f"v{MAX_VERIFIERS + 2}" in current.solicits
    assert "v0" not in current.solicits
