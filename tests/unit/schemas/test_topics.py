"""Topic names: every kind can be built and parsed."""

import hashlib

import pytest

from schemas.errors import ConfigError, PeerError
from schemas.identifiers import Ueid
from schemas.reasons import Reason
from schemas.topics import Role, TopicKind, Topics, check_name, partition_of

TOPICS = Topics("some/root")
UEID = Ueid(b"\x01" + bytes(32))
BUILT = {
    TopicKind.HANDLES: TOPICS.handles("clock"),
    TopicKind.EVIDENCE: TOPICS.evidence(UEID),
    TopicKind.RESULTS: TOPICS.results(UEID),
    TopicKind.ENDORSEMENTS: TOPICS.endorsements(UEID),
    TopicKind.REFERENCE_VALUES: TOPICS.reference_values("golden"),
    TopicKind.POLICIES: TOPICS.policies("fleet"),
    TopicKind.STATEMENTS: TOPICS.statements("0011223344556677"),
    TopicKind.SOLICIT: TOPICS.solicit(UEID),
    TopicKind.ENROL: TOPICS.enrol(UEID),
    TopicKind.ENROLMENT: TOPICS.enrolment(UEID),
    TopicKind.STATUS: TOPICS.status(Role.VERIFIER, "v1"),
    TopicKind.ALERTS: TOPICS.alerts(UEID),
}


def matches(pattern: str, topic: str) -> bool:
    levels, given = pattern.split("/"), topic.split("/")
    return len(levels) == len(given) and all(each in {"+", level} for each, level in zip(levels, given, strict=True))


@pytest.mark.parametrize("kind", TopicKind)
def test_a_topic_has_its_kind_and_only_its_filter(kind: TopicKind) -> None:
    topic = BUILT[kind]
    assert TOPICS.kind_of(topic) is kind
    assert [other for other in TopicKind if matches(TOPICS.all_of(other), topic)] == [kind]


UEID_TEXT = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


def test_topics_are_as_documented() -> None:
    assert {
        TopicKind.HANDLES: "some/root/handles/clock",
        TopicKind.EVIDENCE: f"some/root/evidence/{hashlib.sha256(UEID).hexdigest()[:2]}/{UEID_TEXT}",
        TopicKind.RESULTS: f"some/root/results/{UEID_TEXT}",
        TopicKind.ENDORSEMENTS: f"some/root/endorsements/{UEID_TEXT}",
        TopicKind.REFERENCE_VALUES: "some/root/reference-values/golden",
        TopicKind.POLICIES: "some/root/policies/fleet",
        TopicKind.STATEMENTS: "some/root/statements/0011223344556677",
        TopicKind.SOLICIT: f"some/root/solicit/{UEID_TEXT}",
        TopicKind.ENROL: f"some/root/enrol/{UEID_TEXT}",
        TopicKind.ENROLMENT: f"some/root/enrolment/{UEID_TEXT}",
        TopicKind.STATUS: "some/root/status/verifier/v1",
        TopicKind.ALERTS: f"some/root/alerts/{UEID_TEXT}",
    } == BUILT
    assert TOPICS.fleet_alerts == "some/root/alerts/fleet"
    assert Topics().handles("clock") == "attestream/v1/handles/clock"
    assert [TOPICS.status(role, "x") for role in Role] == [
        f"some/root/status/{name}/x" for name in ("attester", "endorser", "handle-distributor", "verifier")
    ]


@pytest.mark.parametrize("root", ["a", "a/b/c", "A-z_0.9/x"])
def test_a_root_has_levels(root: str) -> None:
    assert Topics(root).handles("clock") == f"{root}/handles/clock"


@pytest.mark.parametrize("root", ["", "/", "a/", "/a", "a//b", "a/+", "a/#", "a b", "ä", "a/b\n"])
def test_a_root_that_is_no_level_is_refused(root: str) -> None:
    with pytest.raises(ConfigError, match="topic root"):
        Topics(root)


def test_the_last_level_names_the_attester() -> None:
    for kind in (TopicKind.EVIDENCE, TopicKind.RESULTS, TopicKind.ALERTS):
        assert TOPICS.last_level(BUILT[kind]) == UEID_TEXT
        assert TOPICS.ueid_of(BUILT[kind]) == UEID
    for topic in (BUILT[TopicKind.HANDLES], TOPICS.fleet_alerts):
        with pytest.raises(PeerError) as caught:
            TOPICS.ueid_of(topic)
        assert caught.value.reason is Reason.MALFORMED


def test_filters_are_as_documented() -> None:
    assert TOPICS.all_handles == "some/root/handles/+"
    assert TOPICS.all_evidence == "some/root/evidence/+/+"
    assert TOPICS.all_results == "some/root/results/+"
    assert TOPICS.all_endorsements == "some/root/endorsements/+"
    assert TOPICS.all_enrol == "some/root/enrol/+"
    assert TOPICS.all_status == "some/root/status/+/+"
    assert TOPICS.all_alerts == "some/root/alerts/+"
    assert TOPICS.status(Role.HANDLE_DISTRIBUTOR, "clock") == "some/root/status/handle-distributor/clock"
    assert TOPICS.evidence_partition("0f") == "some/root/evidence/0f/+"
    assert matches(TOPICS.evidence_partition(partition_of(UEID)), TOPICS.evidence(UEID))


@pytest.mark.parametrize(
    "topic", ["", "some/root", "some/rootless/handles/a", "like/root/handles/a", "handles/a", "some/root/handle/a"]
)
def test_other_topics_have_no_kind(topic: str) -> None:
    assert TOPICS.kind_of(topic) is None


@pytest.mark.parametrize("name", ["", "a/b", "+", "#", "-a", ".a", "_a", "a" * 65, "a\n", "a b", "ä"])
def test_a_name_that_is_no_topic_level_is_refused(name: str) -> None:
    for build in (
        TOPICS.handles,
        TOPICS.reference_values,
        TOPICS.policies,
        lambda name: TOPICS.status(Role.VERIFIER, name),
    ):
        with pytest.raises(PeerError) as caught:
            build(name)
        assert caught.value.reason is Reason.MALFORMED


@pytest.mark.parametrize("name", ["a", "Z", "0", "a.b_c-d", "a" * 64])
def test_a_name_is_one_level(name: str) -> None:
    assert check_name(name) == name
