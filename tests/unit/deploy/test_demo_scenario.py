"""The demo's plan, and its judgement of the results."""

import itertools

import pytest

from deploy.demo.scenario.outcomes import History, Moment, codes_seen, judge
from deploy.demo.scenario.plan import Action, Role, plan
from relying_party.result_board import Standing, standing_of
from schemas.messages.result import Rejections
from schemas.reasons import Reason
from schemas.verdicts import Freshness, Tier, TrustClaim
from tests.fakes.relying_party import NOW_S, result_about

PLANTED = "/devices/1/backdoor"


def standing(**changes: object) -> Standing:
    return standing_of(result_about(**changes), NOW_S)  # type: ignore[arg-type]  # fields that exist


GOOD = standing()
BAD = standing(
    status=Tier.CONTRAINDICATED,
    reasons=(Reason.FILE_UNEXPECTED,),
    vector={TrustClaim.EXECUTABLES: 96},
    unexpected=(PLANTED,),
    unexpected_total=1,
)
REBOOTED = standing(reasons=(Reason.REBOOTED,))
STALE = standing(status=Tier.NONE, freshness=Freshness.STALE, reasons=(Reason.EVIDENCE_OVERDUE,), vector={})


def rejected(code: Reason, count: int = 1) -> Standing:
    return standing(rejections=Rejections(count=count, last=code, last_us=0))


def history(*standings: Standing, **actions: float) -> History:
    moments = [Moment(at_s=float(at_s), standing=each) for at_s, each in enumerate(standings)]
    done = {Action(name): [at_s] for name, at_s in actions.items()}
    return History(moments=moments, actions=done, planted=PLANTED if "tamper" in actions else None)


def missed(role: Role, seen: History) -> list[str]:
    final = seen.moments[-1].standing if seen.moments else None
    return [each.expected for each in judge("device-1", role, seen, final) if not each.met]


@pytest.mark.parametrize("attesters", range(1, 9))
def test_each_role_is_given_once_or_reported_as_left_out(attesters: int) -> None:
    made = plan(attesters, 90)
    parts = [role for role in made.roles.values() if role is not Role.STEADY]
    assert sorted(parts + list(made.left_out)) == sorted(set(Role) - {Role.STEADY})
    assert len(made.roles) == attesters
    assert {step.device for step in made.steps} == {number for number, role in made.roles.items() if role in parts}


@pytest.mark.parametrize("seconds", [40, 90, 600])
def test_steps_are_in_order_and_leave_time_at_the_end(seconds: float) -> None:
    times = [step.at_s for step in plan(6, seconds).steps]
    assert times == sorted(times)
    assert all(later - earlier >= 2 for earlier, later in itertools.pairwise(times))
    assert seconds - times[-1] >= 12


def test_a_steady_device_stays_as_it_is() -> None:
    assert missed(Role.STEADY, history(GOOD, GOOD)) == []
    assert missed(Role.STEADY, history(GOOD, BAD, GOOD)) == ["never contraindicated"]
    assert missed(Role.STEADY, history(GOOD, STALE)) == ["ends affirming and fresh"]
    assert len(missed(Role.STEADY, history())) == 2


def test_the_tampered_device_is_contraindicated_by_name() -> None:
    assert missed(Role.TAMPERED, history(GOOD, BAD, tamper=1)) == []
    assert missed(Role.TAMPERED, history(GOOD, BAD, REBOOTED, GOOD, tamper=1, reboot=2)) == []
    assert missed(Role.TAMPERED, history(GOOD, GOOD, tamper=1)) == [
        f"notices {PLANTED}",
        "ends still contraindicated",
    ]
    other_file = standing(
        status=Tier.CONTRAINDICATED, reasons=BAD.reasons, vector=BAD.result.vector, unexpected=("/usr/bin/true",)
    )
    assert f"notices {PLANTED}" in missed(Role.TAMPERED, history(GOOD, other_file, tamper=1))


def test_results_before_the_action_are_not_used() -> None:
    assert f"notices {PLANTED}" in missed(Role.TAMPERED, history(GOOD, BAD, tamper=5))


def test_the_rebooted_device_recovers() -> None:
    assert missed(Role.REBOOTED, history(GOOD, REBOOTED, GOOD, reboot=1)) == []
    assert missed(Role.REBOOTED, history(GOOD, GOOD, reboot=1)) == ["reboot is noticed"]


def test_the_silent_device_becomes_stale() -> None:
    assert missed(Role.SILENT, history(GOOD, STALE, silence=1)) == []
    assert missed(Role.SILENT, history(GOOD, GOOD, silence=1)) == [
        "silence becomes stale",
        "ends undecided and stale",
    ]


def test_each_of_the_strangers_messages_is_refused_by_its_own_code() -> None:
    seen = history(
        GOOD,
        rejected(Reason.EVIDENCE_REPLAYED),
        rejected(Reason.QUOTE_SIGNATURE_INVALID, 2),
        rejected(Reason.UEID_MISMATCH, 3),
        replay=1,
        forgery=2,
        crossing=3,
    )
    assert missed(Role.REPLAYED, seen) == []
    assert codes_seen(seen) == [Reason.EVIDENCE_REPLAYED, Reason.QUOTE_SIGNATURE_INVALID, Reason.UEID_MISMATCH]
    assert missed(Role.REPLAYED, history(GOOD, GOOD, replay=1)) == ["replay is refused"]
