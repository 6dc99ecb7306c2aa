"""How long a result lives: never longer than its handle and the policy's grace, nor than its lifetime from receipt."""

import pytest

from schemas.messages.result import AttestationResult
from tests.unit.verifier_worker.test_clock_states import SECOND_US, World
from verifier_worker.core.result_builder import UNAPPRAISED_LIFETIME_US, build_result


def result_of(world: World, **policy: int) -> AttestationResult:
    """The result of the world's last push, issued at its receipt."""
    assert world.state is not None
    compiled = World(**policy).policy
    return build_result(
        world.device.ueid, world.state, (), world.now_us, "v", policy=compiled, handle=world.handles[-1]
    )


@pytest.mark.parametrize("grace_s", [0, 1, 50])
def test_a_result_ends_with_its_handle_and_the_grace(grace_s: int) -> None:
    world = World()
    handle = world.handles[-1]
    result = result_of(world, grace_s=grace_s, result_lifetime_s=3600)
    assert result.expires_s * SECOND_US == handle.expires_us + grace_s * SECOND_US


def test_a_result_ends_with_its_lifetime_where_the_handle_lives_longer() -> None:
    world = World()
    result = result_of(world, grace_s=0, result_lifetime_s=20)
    assert world.state is not None
    assert result.expires_s == (world.state.received_us + 20 * SECOND_US) // SECOND_US


def test_without_a_policy_a_result_lives_for_minutes() -> None:
    world = World()
    assert world.state is not None
    result = build_result(world.device.ueid, world.state, (), world.now_us, "v", policy=None, handle=None)
    assert result.expires_s == (world.now_us + UNAPPRAISED_LIFETIME_US) // SECOND_US
