"""Policies that an endorser has signed, through the trust store of a real worker: what is taken, refused, in force."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key

from schemas.errors import PeerError
from schemas.messages.policy import SignedPolicy, sign_policy
from schemas.reasons import Reason
from schemas.topics import TopicKind
from schemas.verdicts import Tier
from tests.builders.damage import flipped
from tests.worlds.device import T0_US
from tests.worlds.verifier import Verifying

STRANGER = generate_private_key(SECP256R1())
NOW_S = T0_US // 1_000_000
TEXT = """\
id = "fleet"
pcrs = "sha256:0-10"
reference_values = ["good"]
deadline_s = 60
[logs]
tcg2 = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
ima = [10]
[ima]
agent = []
"""
LAX = f'{TEXT}[weights]\nfile-unexpected = "warning"\n'


@pytest.fixture
def verifying(tmp_path: Path, at_end: ExitStack) -> Verifying:
    """A worker with a policy of its own, ``test/1``; its device has had a baseline judged by that."""
    made = at_end.enter_context(Verifying(tmp_path))
    made.device.sync(made.new_handle())
    made.pass_s(1)
    assert made.push().policies == ("test/1",)
    return made


def signed(
    verifying: Verifying,
    version: int = 1,
    *,
    text: str = TEXT,
    key: EllipticCurvePrivateKey | None = None,
    until_s: int = 2**40,
) -> bytes:
    policy = SignedPolicy(
        id="fleet", version=version, signer="endorser", not_before_s=0, not_after_s=until_s, text=text
    )
    return sign_policy(policy, key or verifying.endorser)


def next_push(verifying: Verifying) -> tuple[Tier, tuple[str, ...]]:
    """Status of the result about the next push, and the policies it names."""
    verifying.pass_s(1)
    result = verifying.push()
    return result.status, tuple(result.policies)


def test_a_published_policy_counts_from_the_next_push_on(verifying: Verifying) -> None:
    """Nothing that decides measurements has changed: no log is asked for."""
    assert verifying.take(TopicKind.POLICIES, "fleet", signed(verifying)) is True
    assert next_push(verifying) == (Tier.AFFIRMING, ("fleet/1",))
    verifying.device.run(b"/opt/odd", b"odd")
    assert next_push(verifying) == (Tier.CONTRAINDICATED, ("fleet/1",))
    verifying.take(TopicKind.POLICIES, "fleet", signed(verifying, 2, text=LAX))
    assert next_push(verifying) == (Tier.WARNING, ("fleet/2",))
    assert not [topic for topic, _ in verifying.publisher.messages if "/solicit/" in topic]


def test_rolling_back_is_a_new_version_of_the_old_text(verifying: Verifying) -> None:
    first = signed(verifying)
    verifying.take(TopicKind.POLICIES, "fleet", first)
    assert verifying.take(TopicKind.POLICIES, "fleet", first) is False  # retained: it comes with every connection
    verifying.take(TopicKind.POLICIES, "fleet", signed(verifying, 2, text=LAX))
    with pytest.raises(PeerError) as caught:
        verifying.take(TopicKind.POLICIES, "fleet", first)
    assert caught.value.reason is Reason.OBJECT_ROLLED_BACK
    assert next_push(verifying) == (Tier.AFFIRMING, ("fleet/2",))
    verifying.take(TopicKind.POLICIES, "fleet", signed(verifying, 3))
    assert next_push(verifying) == (Tier.AFFIRMING, ("fleet/3",))


def test_another_object_of_the_same_version_is_refused(verifying: Verifying) -> None:
    verifying.take(TopicKind.POLICIES, "fleet", signed(verifying))
    with pytest.raises(PeerError) as caught:
        verifying.take(TopicKind.POLICIES, "fleet", signed(verifying, text=LAX))
    assert caught.value.reason is Reason.OBJECT_ROLLED_BACK


def test_a_policy_that_ends_gives_way_to_no_other(verifying: Verifying) -> None:
    verifying.take(TopicKind.POLICIES, "fleet", signed(verifying, until_s=NOW_S + 3))
    assert next_push(verifying) == (Tier.AFFIRMING, ("fleet/1",))
    verifying.pass_s(3)
    assert next_push(verifying) == (Tier.NONE, ())
    assert Reason.POLICY_MISSING in verifying.results[-1].reasons
    assert "fleet/1, which is not valid now" in verifying.results[-1].unexpected


def test_a_policy_is_withdrawn_by_a_statement_that_does_not_list_it(verifying: Verifying) -> None:
    verifying.take(TopicKind.POLICIES, "fleet", signed(verifying))
    assert next_push(verifying) == (Tier.AFFIRMING, ("fleet/1",))
    verifying.withdraw(TopicKind.POLICIES, "fleet")
    assert next_push(verifying) == (Tier.AFFIRMING, ("test/1",))


@pytest.mark.parametrize(
    ("topic", "make", "reason"),
    [
        ("other", signed, Reason.OBJECT_MISDIRECTED),
        ("fleet", lambda verifying: signed(verifying, 2, key=STRANGER), Reason.OBJECT_SIGNATURE_INVALID),
        ("fleet", lambda verifying: flipped(signed(verifying, 2)), Reason.OBJECT_SIGNATURE_INVALID),
        ("fleet", lambda verifying: signed(verifying, 2, text="id = 'fleet'"), Reason.POLICY_INVALID),
        ("fleet", lambda verifying: signed(verifying, 2, text="no TOML"), Reason.POLICY_INVALID),
        ("fleet", lambda verifying: signed(verifying, 2, text=TEXT.replace("fleet", "flee")), Reason.POLICY_INVALID),
        (
            "fleet",
            lambda verifying: signed(verifying, 2, text=f"{TEXT}[[rules]]\nname = 'r'\nwhen = 'age'\n"),
            Reason.POLICY_INVALID,
        ),
        ("fleet", lambda _: b"\xff" * 100, Reason.MALFORMED),
        ("fleet", lambda verifying: signed(verifying, 2, text="#" * 300_000), Reason.TOO_LARGE),
    ],
)
def test_what_is_refused_leaves_the_old_one_in_force(
    verifying: Verifying, topic: str, make: Callable[[Verifying], bytes], reason: Reason
) -> None:
    verifying.take(TopicKind.POLICIES, "fleet", signed(verifying, text=LAX))
    with pytest.raises(PeerError) as caught:
        verifying.take(TopicKind.POLICIES, topic, make(verifying))
    assert caught.value.reason is reason
    assert next_push(verifying) == (Tier.AFFIRMING, ("fleet/1",))
    assert verifying.take(TopicKind.POLICIES, "fleet", signed(verifying, 2)) is True  # version 2 is still free


def test_a_policy_is_no_set_of_reference_values(verifying: Verifying) -> None:
    with pytest.raises(PeerError) as caught:
        verifying.take(TopicKind.REFERENCE_VALUES, "fleet", signed(verifying))
    assert caught.value.reason is Reason.OBJECT_SIGNATURE_INVALID  # signed, but as something else


def test_a_policy_and_its_version_outlive_a_restart(verifying: Verifying) -> None:
    verifying.take(TopicKind.POLICIES, "fleet", signed(verifying, 2))
    verifying.restart()
    assert next_push(verifying) == (Tier.AFFIRMING, ("fleet/2",))
    with pytest.raises(PeerError) as caught:
        verifying.take(TopicKind.POLICIES, "fleet", signed(verifying, 1))
    assert caught.value.reason is Reason.OBJECT_ROLLED_BACK
