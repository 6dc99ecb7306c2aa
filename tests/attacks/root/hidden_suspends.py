"""A suspend that the TPM counts and the agent does not report."""

from collections.abc import Callable

from schemas.reasons import Reason
from schemas.verdicts import Weight
from tests.attacks.catalogue import Attacker, Kind
from tests.attacks.scene import Scene
from tests.attacks.seen import Seen, of_state
from tests.worlds.device import make_policy, make_trust
from tests.worlds.step_bench import Bench
from verifier_worker.core.state_codec import decode_state, encode_state

KIND = Kind(by=Attacker.ROOT, goal="be affirmed after a suspend that was not reported")


def _suspend(bench: Bench) -> None:
    bench.device.resume()
    bench.device.transitions = []
    bench.device.sync(bench.handle)


def nothing_else(bench: Bench) -> None:
    """nothing else."""
    _suspend(bench)
    bench.take(bench.device.push())


def a_wrong_previous(bench: Bench) -> None:
    """one delta that names another body than the last."""
    _suspend(bench)
    bench.device.previous = bytes(32)
    bench.take(bench.device.push())


def a_lost_push_before(bench: Bench) -> None:
    """a push before it is held back."""
    bench.device.push()
    _suspend(bench)
    bench.take(bench.device.push())


def a_lost_push_after(bench: Bench) -> None:
    """a push after it is held back."""
    _suspend(bench)
    bench.take(bench.device.push())
    bench.device.push()
    bench.take(bench.device.push())


def a_report_of_another_suspend(bench: Bench) -> None:
    """a second suspend, which is reported."""
    _suspend(bench)
    bench.device.previous = bytes(32)
    bench.take(bench.device.push())
    bench.device.resume()
    bench.device.sync(bench.handle)
    bench.take(bench.device.push())


def a_verifier_that_starts_again(bench: Bench) -> None:
    """a delta with a wrong previous; then the verifier starts again."""
    a_wrong_previous(bench)
    assert bench.state is not None
    bench.state = decode_state(encode_state(bench.state))


def many_gaps(bench: Bench) -> None:
    """five times, each with a gap."""
    for _ in range(5):
        a_lost_push_before(bench)


@KIND.ways(
    "contraindicated",
    code=Reason.TRANSITION_UNREPORTED,
    moves=(
        nothing_else,
        a_wrong_previous,
        a_lost_push_before,
        a_lost_push_after,
        a_report_of_another_suspend,
        a_verifier_that_starts_again,
        many_gaps,
    ),
)
def suspend_without_a_report(scene: Scene, move: Callable[[Bench], None]) -> Seen:
    """The policy contraindicates it. A suspend without a report, then a full push and ten heartbeats:"""
    bench = scene.bench()
    bench.policy = make_policy(weights={Reason.TRANSITION_UNREPORTED: Weight.CONTRAINDICATED})
    bench.trust = make_trust(bench.device, handles=(bench.handle,), policy=bench.policy)
    bench.take(bench.device.push())
    move(bench)
    bench.take(bench.device.push(full=True))
    for _ in range(10):
        bench.take(bench.device.push())
    return of_state(bench)
