"""The demo's story, and its judgement of what was seen."""

import itertools

import pytest

from deploy.demo.story.outcomes import History, Moment, codes_seen, judge
from deploy.demo.story.scenario import Deed, Role, plan
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


def history(*standings: Standing, **deeds: float) -> History:
    moments = [Moment(at_s=float(at_s), standing=each) for at_s, each in enumerate(standings)]
    done = {Deed(name): [at_s] for name, at_s in deeds.items()}
    return History(moments=moments, deeds=done, planted=PLANTED if "tamper" in deeds else None)


def missed(role: Role, seen: History) -> list[str]:
    final = seen.moments[-1].standing if seen.moments else None
    return [each.expected for each in judge("device-1", role, seen, final) if not each.met]


@pytest.mark.parametrize("attesters", range(1, 9))
def test_each_part_is_played_once_or_said_to_be_left_out(attesters: int) -> None:
    told = plan(attesters, 90)
    parts = [role for role in told.roles.values() if role is not Role.STEADY]
    assert sorted(parts + list(told.left_out)) == sorted(set(Role) - {Role.STEADY})
    assert len(told.roles) == attesters
    assert {act.device for act in told.acts} == {number for number, role in told.roles.items() if role in parts}


@pytest.mark.parametrize("seconds", [40, 90, 600])
def test_the_story_is_told_in_order_and_leaves_time_at_its_end(seconds: float) -> None:
    times = [act.at_s for act in plan(6, seconds).acts]
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


def test_what_was_seen_before_the_deed_does_not_count() -> None:
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
