"""Topic names: every kind can be built and parsed."""

import pytest

from schemas.errors import PeerError
from schemas.identifiers import Ueid
from schemas.topics import Role, TopicKind, Topics, partition_of

TOPICS = Topics("some/root")
UEID = Ueid(b"\x01" + bytes(32))
BUILT = {
    TopicKind.HANDLES: TOPICS.handles("clock"),
    TopicKind.EVIDENCE: TOPICS.evidence(UEID),
    TopicKind.RESULTS: TOPICS.results(UEID),
    TopicKind.ENDORSEMENTS: TOPICS.endorsements(UEID),
    TopicKind.REFERENCE_VALUES: TOPICS.reference_values("golden"),
    TopicKind.POLICIES: TOPICS.policies("fleet"),
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


def test_filters_are_as_documented() -> None:
    assert TOPICS.all_handles == "some/root/handles/+"
    assert TOPICS.all_evidence == "some/root/evidence/+/+"
    assert TOPICS.all_results == "some/root/results/+"
    assert TOPICS.all_endorsements == "some/root/endorsements/+"
    assert TOPICS.all_enrol == "some/root/enrol/+"
    assert TOPICS.all_status == "some/root/status/+/+"
    assert TOPICS.all_alerts == "some/root/alerts/+"
    assert TOPICS.status(Role.HANDLE_DISTRIBUTOR, "clock") == "some/root/status/handle-distributor/clock"
    assert matches(TOPICS.evidence_partition(partition_of(UEID)), TOPICS.evidence(UEID))


@pytest.mark.parametrize("topic", ["", "some/root", "some/rootless/handles/a", "handles/a", "some/root/handle/a"])
def test_other_topics_have_no_kind(topic: str) -> None:
    assert TOPICS.kind_of(topic) is None


@pytest.mark.parametrize("name", ["", "a/b", "+", "#", "-a", "a" * 65])
def test_a_name_that_is_no_topic_level_is_refused(name: str) -> None:
    with pytest.raises(PeerError, match="malformed"):
        TOPICS.handles(name)
