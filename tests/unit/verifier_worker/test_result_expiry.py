"""How long a result lives: never longer than its handle and the policy's grace, nor than its lifetime from receipt."""

import pytest

from schemas.messages.result import AttestationResult
from tests.worlds.watched_device import SECOND_US, WatchedDevice
from verifier_worker.core.result_builder import UNAPPRAISED_LIFETIME_US, build_result


def result_of(watched: WatchedDevice, **policy: int) -> AttestationResult:
    """The result of the device's last push, issued at its receipt."""
    assert watched.state is not None
    compiled = WatchedDevice(**policy).policy
    return build_result(
        watched.device.ueid, watched.state, (), watched.now_us, "v", policy=compiled, handle=watched.handles[-1]
    )


@pytest.mark.parametrize("grace_s", [0, 1, 50])
def test_a_result_ends_with_its_handle_and_the_grace(grace_s: int) -> None:
    watched = WatchedDevice()
    handle = watched.handles[-1]
    result = result_of(watched, grace_s=grace_s, result_lifetime_s=3600)
    assert result.expires_s * SECOND_US == handle.expires_us + grace_s * SECOND_US


def test_a_result_ends_with_its_lifetime_where_the_handle_lives_longer() -> None:
    watched = WatchedDevice()
    result = result_of(watched, grace_s=0, result_lifetime_s=20)
    assert watched.state is not None
    assert result.expires_s == (watched.state.received_us + 20 * SECOND_US) // SECOND_US


def test_without_a_policy_a_result_lives_for_minutes() -> None:
    watched = WatchedDevice()
    assert watched.state is not None
    result = build_result(watched.device.ueid, watched.state, (), watched.now_us, "v", policy=None, handle=None)
    assert result.expires_s == (watched.now_us + UNAPPRAISED_LIFETIME_US) // SECOND_US
