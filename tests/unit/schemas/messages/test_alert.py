"""Alerts and statuses: the bytes of each member, and every limit."""

from collections.abc import Callable
from typing import Any

import pytest

from schemas.codecs import cbor, cmw
from schemas.errors import PeerError
from schemas.identifiers import Ueid
from schemas.messages.alert import Alert, AlertKind, Condition, encode_alert, parse_unverified_alert
from schemas.messages.status import Status, encode_status, parse_unverified_status, status_message
from schemas.reasons import Reason

UEID = Ueid(b"\x01" + bytes(32))
ALERT = Alert(
    id="0a",
    kind=AlertKind.VERDICT,
    made_s=5,
    summary="it happened",
    next_step="do something",
    ueid=UEID,
    condition=Condition.STALE,
    before=Condition.AFFIRMING,
    reasons=("evidence-overdue",),
    count=3,
    attesters=(UEID,),
    verifier="v1",
    rule="rule",
    token=b"token",
)
ITEMS: dict[object, object] = {
    1: "0a",
    2: "verdict",
    3: 5,
    4: "it happened",
    5: "do something",
    6: UEID,
    7: "stale",
    8: "affirming",
    9: ["evidence-overdue"],
    10: 3,
    11: [UEID],
    12: "v1",
    13: "rule",
    14: b"token",
}
REQUIRED = {key: ITEMS[key] for key in range(1, 6)}
STATUS = Status(role="verifier", name="v1", online=True, version="1.2")
STATUS_ITEMS: dict[object, object] = {1: "verifier", 2: "v1", 3: True, 4: "1.2"}


def read_alert(items: object) -> Alert:
    return parse_unverified_alert(cbor.encode(items))


def read_status(items: object) -> Status:
    return parse_unverified_status(cbor.encode(items))


def refusal(read: Callable[[Any], object], given: object) -> Reason:
    with pytest.raises(PeerError) as caught:
        read(given)
    return caught.value.reason


def test_each_member_has_its_key() -> None:
    assert encode_alert(ALERT) == cbor.encode(ITEMS)
    assert read_alert(ITEMS) == ALERT
    assert encode_status(STATUS) == cbor.encode(STATUS_ITEMS)
    assert read_status(STATUS_ITEMS) == STATUS


def test_what_an_alert_does_not_state_is_left_out() -> None:
    bare = Alert(id="0a", kind=AlertKind.TEST, made_s=5, summary="it happened", next_step="do something")
    assert (bare.ueid, bare.condition, bare.before, bare.reasons, bare.count) == (None, None, None, (), None)
    assert (bare.attesters, bare.verifier, bare.rule, bare.token) == ((), None, None, None)
    assert encode_alert(bare) == cbor.encode({**REQUIRED, 2: "test"})
    assert read_alert({**REQUIRED, 2: "test"}) == bare
    for key in range(6, 15):
        read_alert({each: value for each, value in ITEMS.items() if each != key})


@pytest.mark.parametrize(("read", "items"), [(read_alert, REQUIRED), (read_status, STATUS_ITEMS)])
def test_required_members_are_required_and_no_others_exist(
    read: Callable[[object], object], items: dict[object, object]
) -> None:
    for key in items:
        assert refusal(read, {each: value for each, value in items.items() if each != key}) is Reason.MALFORMED
    for key in (0, 15):
        assert refusal(read, {**items, key: 0}) is Reason.MALFORMED


def test_kinds_and_conditions_have_the_words_that_were_released() -> None:
    assert list(AlertKind) == [
        *("verdict", "recovered", "storm", "storm-over", "verifier-silent", "verifier-back"),
        *("broker-lost", "broker-back", "results-unverified", "test"),
    ]
    assert list(Condition) == ["affirming", "warning", "undecided", "stale", "contradicted", "contraindicated"]


@pytest.mark.parametrize(
    ("read", "items", "key", "at_limit", "beyond", "reason"),
    [
        (read_alert, ITEMS, 1, "0123456789abcdef" * 4, "0" * 65, Reason.TOO_LARGE),
        (read_alert, ITEMS, 1, "f", "", Reason.MALFORMED),
        (read_alert, ITEMS, 1, "f", "g", Reason.MALFORMED),
        (read_alert, ITEMS, 1, "f", "F", Reason.MALFORMED),
        (read_alert, ITEMS, 2, "storm", "other", Reason.MALFORMED),
        (read_alert, ITEMS, 2, "storm", "k" * 64, Reason.MALFORMED),
        (read_alert, ITEMS, 2, "storm", "k" * 65, Reason.TOO_LARGE),
        (read_alert, ITEMS, 3, 0, -1, Reason.MALFORMED),
        (read_alert, ITEMS, 4, "s" * 1024, "s" * 1025, Reason.TOO_LARGE),
        (read_alert, ITEMS, 5, "s" * 1024, "s" * 1025, Reason.TOO_LARGE),
        (read_alert, ITEMS, 6, bytes(7), bytes(6), Reason.MALFORMED),
        (read_alert, ITEMS, 7, "warning", "other", Reason.MALFORMED),
        (read_alert, ITEMS, 7, "warning", "c" * 65, Reason.TOO_LARGE),
        (read_alert, ITEMS, 8, "warning", "other", Reason.MALFORMED),
        (read_alert, ITEMS, 9, ["r"] * 32, ["r"] * 33, Reason.TOO_LARGE),
        (read_alert, ITEMS, 9, ["r" * 64], ["r" * 65], Reason.TOO_LARGE),
        (read_alert, ITEMS, 9, ["r"], [], Reason.MALFORMED),
        (read_alert, ITEMS, 9, ["r"], [1], Reason.MALFORMED),
        (read_alert, ITEMS, 10, 0, -1, Reason.MALFORMED),
        (read_alert, ITEMS, 11, [UEID] * 20, [UEID] * 21, Reason.TOO_LARGE),
        (read_alert, ITEMS, 11, [UEID], [], Reason.MALFORMED),
        (read_alert, ITEMS, 11, [UEID], [bytes(34)], Reason.MALFORMED),
        (read_alert, ITEMS, 12, "v" * 1024, "v" * 1025, Reason.TOO_LARGE),
        (read_alert, ITEMS, 13, "r" * 64, "r" * 65, Reason.TOO_LARGE),
        (read_alert, ITEMS, 14, bytes(128 * 1024), bytes(128 * 1024 + 1), Reason.TOO_LARGE),
        (read_status, STATUS_ITEMS, 1, "r" * 64, "r" * 65, Reason.TOO_LARGE),
        (read_status, STATUS_ITEMS, 2, "n" * 64, "n" * 65, Reason.TOO_LARGE),
        (read_status, STATUS_ITEMS, 3, False, 0, Reason.MALFORMED),
        (read_status, STATUS_ITEMS, 4, "v" * 64, "v" * 65, Reason.TOO_LARGE),
    ],
)
def test_each_member_is_limited(
    read: Callable[[object], object],
    items: dict[object, object],
    key: int,
    at_limit: object,
    beyond: object,
    reason: Reason,
) -> None:
    read({**items, key: at_limit})
    assert refusal(read, {**items, key: beyond}) is reason
    assert refusal(read, {**items, key: 1.5}) is Reason.MALFORMED


@pytest.mark.parametrize(("read", "limit"), [(parse_unverified_alert, 256 * 1024), (parse_unverified_status, 1024)])
def test_a_message_is_limited_in_bytes(read: Callable[[bytes], object], limit: int) -> None:
    assert refusal(read, b"\xff" * limit) is Reason.MALFORMED
    assert refusal(read, b"\xff" * (limit + 1)) is Reason.TOO_LARGE


def test_a_status_is_published_under_its_media_type() -> None:
    message = status_message("verifier", "v1", online=True, version="1.2")
    assert message == cmw.wrap("application/vnd.attestream.status+cbor", encode_status(STATUS), None)
