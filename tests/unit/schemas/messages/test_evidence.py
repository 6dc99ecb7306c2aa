"""Evidence as bytes: content comes back, empty items are left out, and every limit is tested at its edge."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import pytest

from schemas.codecs import cbor
from schemas.errors import PeerError
from schemas.hashes import SHA1, SHA256
from schemas.identifiers import Ueid
from schemas.messages.evidence import (
    VANISHED,
    ClaimValue,
    Evidence,
    EvidenceBody,
    LogIncrement,
    SyncProof,
    Transition,
    check_claims_size,
    encode_body,
    encode_evidence,
    encode_transitions,
    parse_body,
    parse_evidence,
    parse_transitions,
)
from schemas.reasons import Reason
from schemas.transitions import TransitionKind

UEID = Ueid(b"\x01" + b"u" * 32)
SMALL = EvidenceBody(
    ueid=UEID,
    sync=SyncProof(attest=b"sync attest", signature=b"sync signature"),
    environment=b"\x00\x0b" + b"n" * 32,
    sequence=7,
)
FULL = replace(
    SMALL,
    previous=b"p" * 32,
    claims={"arch": "x86_64", "cores": 8, "raw": b"\x00", "secure-boot": True, "gone": ""},
    logs={"tcg2": 3, "ima": 0, "cel/app": 9},
    increment_digests={"tcg2": b"d" * 32},
    transitions=(
        Transition(kind=TransitionKind.SUSPEND, clock_ms=1, reset_count=2, restart_count=3),
        Transition(kind=TransitionKind.KEXEC, clock_ms=4, reset_count=5, restart_count=6),
    ),
    sync_stamp=b"a token",
)
ITEMS: dict[int, object] = {
    1: UEID,
    2: 1,
    3: [b"sync attest", b"sync signature"],
    4: SMALL.environment,
    5: 7,
}
"""The smallest body, with the numbers of ``docs``; they are repeated here so that this test notices a change."""
PUSH: dict[int, object] = {1: cbor.encode({**ITEMS, 8: {"ima": 4}}), 2: b"quote", 3: b"signature"}


def refusal(read: Callable[[], object]) -> tuple[Reason, str]:
    with pytest.raises(PeerError) as caught:
        read()
    return caught.value.reason, caught.value.detail


def body(changes: Mapping[int, object]) -> EvidenceBody:
    """The smallest body with some items changed or added."""
    return parse_body(cbor.encode({**ITEMS, **changes}))


def body_refusal(changes: Mapping[int, object]) -> Reason:
    return refusal(lambda: body(changes))[0]


def push(changes: Mapping[int, object]) -> Evidence:
    """The smallest push with some items changed or added."""
    return parse_evidence(cbor.encode({**PUSH, **changes}))


def push_refusal(changes: Mapping[int, object]) -> Reason:
    return refusal(lambda: push(changes))[0]


# ── the body ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_smallest_body_has_five_items_and_nothing_else() -> None:
    assert encode_body(SMALL) == cbor.encode(ITEMS)
    assert parse_body(cbor.encode(ITEMS)) == SMALL


def test_every_field_of_a_body_has_its_key() -> None:
    assert cbor.decode(encode_body(FULL), "body") == {
        **ITEMS,
        6: b"p" * 32,
        7: {"arch": "x86_64", "cores": 8, "raw": b"\x00", "secure-boot": True, "gone": ""},
        8: {"tcg2": 3, "ima": 0, "cel/app": 9},
        9: {"tcg2": b"d" * 32},
        10: [[0, 1, 2, 3], [2, 4, 5, 6]],
        11: b"a token",
    }
    parsed = parse_body(encode_body(FULL))
    assert parsed == FULL
    assert parsed.claims["secure-boot"] is True


@pytest.mark.parametrize("key", ITEMS)
def test_a_body_has_all_required_items(key: int) -> None:
    items = {each: value for each, value in ITEMS.items() if each != key}
    assert refusal(lambda: parse_body(cbor.encode(items)))[0] is Reason.MALFORMED


@pytest.mark.parametrize("key", [0, 12])
def test_a_body_has_no_other_keys(key: int) -> None:
    assert body_refusal({key: 0}) is Reason.MALFORMED


@pytest.mark.parametrize("profile", [0, 2, True, "1", None], ids=repr)
def test_another_profile_is_refused(profile: object) -> None:
    assert body_refusal({2: profile}) is Reason.MALFORMED


@pytest.mark.parametrize(
    ("key", "limit", "over"),
    [
        (1, b"\x01" * 33, b"\x01" * 34),
        (3, [bytes(2048), bytes(1088)], [bytes(2049), bytes(1088)]),
        (3, [b"", b""], [bytes(2048), bytes(1089)]),
        (4, bytes(66), bytes(67)),
        (5, 2**53, 2**53 + 1),
        (5, 0, -1),
        (6, bytes(32), bytes(33)),
        (6, bytes(32), bytes(31)),
        (8, {"ima": 2_000_000}, {"ima": 2_000_001}),
        (9, {"ima": bytes(32)}, {"ima": bytes(31)}),
        (9, {"ima": bytes(32)}, {"ima": bytes(33)}),
        (10, [[0, 2**42, 2**32 - 1, 2**32 - 1]], [[0, 2**42 + 1, 0, 0]]),
        (10, [[1, 0, 0, 0]], [[0, 0, 2**32, 0]]),
        (10, [[2, 0, 0, 0]], [[0, 0, 0, 2**32]]),
        (10, [[0, 0, 0, 0]], [[3, 0, 0, 0]]),
        (10, [[0, 0, 0, 0]] * 128, [[0, 0, 0, 0]] * 129),
        (10, [[0, 0, 0, 0]], [[0, 0, 0]]),
        (10, [[0, 0, 0, 0]], [[0, 0, 0, 0, 0]]),
        (11, bytes(32 * 1024), bytes(32 * 1024 + 1)),
    ],
)
def test_each_item_of_a_body_is_limited(key: int, limit: object, over: object) -> None:
    body({key: limit})
    assert body_refusal({key: over}) in {Reason.MALFORMED, Reason.TOO_LARGE}


@pytest.mark.parametrize("key", [1, 3, 4, 5, 6, 7, 8, 9, 10, 11])
@pytest.mark.parametrize("wrong", [None, "text", True, 1.5], ids=repr)
def test_each_item_of_a_body_has_its_type(key: int, wrong: object) -> None:
    """Null does not stand for a missing optional item."""
    assert body_refusal({key: wrong}) is Reason.MALFORMED


@pytest.mark.parametrize("key", [7, 8, 9, 10])
def test_empty_items_are_left_out_so_a_body_has_one_encoding(key: int) -> None:
    empty: object = [] if key == 10 else {}
    reason, detail = refusal(lambda: body({key: empty}))
    assert reason is Reason.MALFORMED
    assert "empty" in detail


@pytest.mark.parametrize(("key", "name"), [(7, "claims"), (8, "logs"), (9, "increment digests")])
def test_a_map_of_a_body_is_named_in_its_errors(key: int, name: str) -> None:
    assert refusal(lambda: body({key: {}}))[1] == f"{name}: empty; leave the key out instead"
    assert refusal(lambda: body({key: 5}))[1] == f"{name}: expected a map"
    most = {f"x{number}": 0 for number in range(65)}
    limit = 64 if key == 7 else 16
    assert refusal(lambda: body({key: most}))[1] == f"{name}: 65 items, the limit is {limit}"


def test_increments_are_named_in_their_errors() -> None:
    assert refusal(lambda: push({5: {}}))[1] == "increments: empty; leave the key out instead"
    assert refusal(lambda: push({5: 5}))[1] == "increments: expected a map"


def test_a_claim_that_is_gone_has_an_empty_text() -> None:
    assert VANISHED == ""


def test_an_empty_stamp_is_not_a_missing_stamp() -> None:
    assert body({11: b""}).sync_stamp == b""
    assert parse_body(encode_body(replace(SMALL, sync_stamp=b""))).sync_stamp == b""
    assert body({}).sync_stamp is None


def test_the_sync_proof_is_two_byte_strings() -> None:
    assert body_refusal({3: [b"", b"", b""]}) is Reason.MALFORMED
    assert body_refusal({3: [b""]}) is Reason.MALFORMED
    assert body_refusal({3: ["", b""]}) is Reason.MALFORMED
    assert body_refusal({3: [b"", ""]}) is Reason.MALFORMED


def test_a_tsa_stamps_the_digest_of_the_sync_attest() -> None:
    assert SMALL.sync_imprint == hashlib.sha256(b"sync attest").digest()


# ── claims ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("value", [None, 1.5, [1], {1: 2}, cbor.Tag(99, 1)], ids=repr)
def test_a_claim_is_text_bytes_an_integer_or_a_boolean(value: object) -> None:
    assert body_refusal({7: {"name": value}}) is Reason.MALFORMED


@pytest.mark.parametrize(
    ("value", "over"),
    [
        ("x" * 4096, "x" * 4097),
        (b"x" * 4096, b"x" * 4097),
        (2**53, 2**53 + 1),
        (-(2**53), -(2**53) - 1),
    ],
    ids=["text", "bytes", "positive", "negative"],
)
def test_a_claim_is_limited(value: object, over: object) -> None:
    assert body({7: {"name": value}}).claims == {"name": value}
    assert body_refusal({7: {"name": over}}) is Reason.TOO_LARGE


def test_a_claims_name_is_short_text() -> None:
    assert body({7: {"n" * 64: 1}}).claims == {"n" * 64: 1}
    assert body_refusal({7: {"n" * 65: 1}}) is Reason.TOO_LARGE
    assert body_refusal({7: {1: 1}}) is Reason.MALFORMED


def test_there_are_64_claims_at_most() -> None:
    assert len(body({7: {f"c{number}": 0 for number in range(64)}}).claims) == 64
    assert body_refusal({7: {f"c{number}": 0 for number in range(65)}}) is Reason.TOO_LARGE


@pytest.mark.parametrize("letter", ["x", b"x"], ids=["text", "bytes"])
def test_all_claims_together_have_8_kib_at_most(letter: str | bytes) -> None:
    """Names and values are counted."""
    fitting: dict[str, ClaimValue] = {"a": letter * 4095, "b": letter * 4095}
    assert body({7: fitting}).claims == fitting
    for over in ({**fitting, "b": letter * 4096}, {**fitting, "c": ""}):
        assert body_refusal({7: over}) is Reason.TOO_LARGE


@pytest.mark.parametrize("value", [0, True, -(2**53)], ids=repr)
def test_a_number_counts_nine_bytes(value: ClaimValue) -> None:
    """The size of the largest number in CBOR."""
    check_claims_size({"a": "x" * 4095, "b": "x" * 4085, "c": value})
    assert refusal(lambda: check_claims_size({"a": "x" * 4095, "b": "x" * 4086, "c": value}))[0] is Reason.TOO_LARGE


def test_claims_that_add_up_over_pushes_are_counted_too() -> None:
    check_claims_size({f"c{number}": 0 for number in range(64)})
    assert refusal(lambda: check_claims_size({f"c{number}": 0 for number in range(65)}))[0] is Reason.TOO_LARGE


# ── logs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("key", [8, 9])
def test_a_log_has_a_known_name(key: int) -> None:
    good: object = 1 if key == 8 else bytes(32)
    body({key: {"cel/" + "a" * 32: good}})
    for name in ("TCG2", "cel/" + "a" * 33, "other", "", 1, "x" * 65):
        assert body_refusal({key: {name: good}}) in {Reason.MALFORMED, Reason.TOO_LARGE}


@pytest.mark.parametrize("key", [8, 9])
def test_the_length_of_a_log_name_is_checked_before_its_form(key: int) -> None:
    good: object = 1 if key == 8 else bytes(32)
    assert body_refusal({key: {"x" * 64: good}}) is Reason.MALFORMED
    assert body_refusal({key: {"x" * 65: good}}) is Reason.TOO_LARGE


@pytest.mark.parametrize("key", [8, 9])
def test_there_are_16_logs_at_most(key: int) -> None:
    good: object = 1 if key == 8 else bytes(32)
    body({key: {f"cel/{number}": good for number in range(16)}})
    assert body_refusal({key: {f"cel/{number}": good for number in range(17)}}) is Reason.TOO_LARGE


# ── transitions ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_transitions_have_the_numbers_of_cel() -> None:
    """CEL, "state_trans": suspend, hibernate, kexec."""
    assert [parse_transitions([[number, 1, 2, 3]])[0].kind.name for number in range(3)] == [
        "SUSPEND",
        "HIBERNATE",
        "KEXEC",
    ]
    assert encode_transitions(FULL.transitions) == [[0, 1, 2, 3], [2, 4, 5, 6]]
    assert parse_transitions(encode_transitions(FULL.transitions)) == FULL.transitions


def test_an_empty_list_of_transitions_is_refused() -> None:
    assert refusal(lambda: parse_transitions([]))[0] is Reason.MALFORMED
    assert refusal(lambda: parse_transitions(None))[0] is Reason.MALFORMED
    assert refusal(lambda: parse_transitions([[True, 0, 0, 0]]))[0] is Reason.MALFORMED


# ── the push around it ───────────────────────────────────────────────────────────────────────────────────────────────

WHOLE = Evidence(
    body=FULL,
    raw_body=encode_body(FULL),
    quote=b"quote",
    signature=b"signature",
    unsigned_pcrs={SHA1: {0: b"0" * 20}, SHA256: {0: b"0" * 32, 23: b"3" * 32}},
    unsigned_increments={"ima": LogIncrement(records=b"records", total=3), "tcg2": LogIncrement(records=b"", total=4)},
)


def test_every_field_of_a_push_has_its_key() -> None:
    assert cbor.decode(encode_evidence(WHOLE), "evidence") == {
        1: encode_body(FULL),
        2: b"quote",
        3: b"signature",
        4: {0x0004: {0: b"0" * 20}, 0x000B: {0: b"0" * 32, 23: b"3" * 32}},
        5: {"ima": [b"records", 3], "tcg2": [b"", 4]},
    }


def test_a_push_comes_back_with_its_digests() -> None:
    raw = encode_evidence(WHOLE)
    parsed = parse_evidence(raw)
    assert parsed == replace(WHOLE, envelope=hashlib.sha256(raw).digest())
    assert parsed.body_digest == hashlib.sha256(encode_body(FULL)).digest()


def test_what_is_beside_the_body_is_empty_unless_given() -> None:
    bare = Evidence(body=SMALL, raw_body=b"body", quote=b"quote", signature=b"signature")
    assert (bare.unsigned_pcrs, bare.unsigned_increments, bare.envelope) == ({}, {}, b"")
    assert cbor.decode(encode_evidence(bare), "evidence") == {1: b"body", 2: b"quote", 3: b"signature"}


def test_any_mapping_is_encoded() -> None:
    """States hold read-only mappings."""
    body = replace(
        FULL,
        claims=MappingProxyType(FULL.claims),
        logs=MappingProxyType(FULL.logs),
        increment_digests=MappingProxyType(FULL.increment_digests),
    )
    assert encode_body(body) == encode_body(FULL)
    pcrs = MappingProxyType({bank: MappingProxyType(values) for bank, values in WHOLE.unsigned_pcrs.items()})
    assert encode_evidence(replace(WHOLE, unsigned_pcrs=pcrs)) == encode_evidence(WHOLE)


def test_the_smallest_push_has_three_items() -> None:
    parsed = push({})
    assert (parsed.unsigned_pcrs, parsed.unsigned_increments) == ({}, {})
    assert encode_evidence(parsed) == cbor.encode(PUSH)


@pytest.mark.parametrize("key", PUSH)
def test_a_push_has_all_required_items(key: int) -> None:
    items = {each: value for each, value in PUSH.items() if each != key}
    assert refusal(lambda: parse_evidence(cbor.encode(items)))[0] is Reason.MALFORMED


@pytest.mark.parametrize("key", [0, 6])
def test_a_push_has_no_other_keys(key: int) -> None:
    assert push_refusal({key: 0}) is Reason.MALFORMED


@pytest.mark.parametrize("key", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("wrong", [None, "text", 1], ids=repr)
def test_each_item_of_a_push_has_its_type(key: int, wrong: object) -> None:
    assert push_refusal({key: wrong}) is Reason.MALFORMED


def test_each_item_of_a_push_is_limited() -> None:
    push({2: bytes(2048), 3: bytes(1088)})
    assert push_refusal({2: bytes(2049)}) is Reason.TOO_LARGE
    assert push_refusal({3: bytes(1089)}) is Reason.TOO_LARGE


def test_a_push_is_limited_before_it_is_parsed() -> None:
    raw = cbor.encode(PUSH)
    assert parse_evidence(raw, max_bytes=len(raw)).quote == b"quote"
    assert refusal(lambda: parse_evidence(raw, max_bytes=len(raw) - 1))[0] is Reason.TOO_LARGE
    assert refusal(lambda: parse_evidence(bytes(256 * 1024 + 1)))[0] is Reason.TOO_LARGE


def test_the_body_inside_is_parsed() -> None:
    assert push_refusal({1: cbor.encode({**ITEMS, 2: 2})}) is Reason.MALFORMED
    assert push_refusal({1: b"\xff"}) is Reason.MALFORMED


# ── PCR values beside it ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "banks",
    [
        {},
        {0x000B: {}},
        {0x0012: {0: bytes(32)}},
        {"sha256": {0: bytes(32)}},
        {0x000B: {24: bytes(32)}},
        {0x000B: {-1: bytes(32)}},
        {0x000B: {"0": bytes(32)}},
        {0x000B: {0: bytes(31)}},
        {0x000B: {0: bytes(33)}},
        {0x000B: {0: bytes(20)}},
        {0x0004: {0: bytes(32)}},
        {0x000B: {0: "0"}},
        {0x000B: [bytes(32)]},
    ],
)
def test_wrong_pcr_values_are_malformed(banks: object) -> None:
    assert push_refusal({4: banks}) is Reason.MALFORMED


def test_all_24_registers_may_come_and_eight_banks_at_most() -> None:
    registers = {index: bytes([index]) * 32 for index in range(24)}
    assert push({4: {0x000B: registers}}).unsigned_pcrs == {SHA256: registers}
    assert push_refusal({4: {0x000B: {index: bytes(32) for index in range(25)}}}) is Reason.TOO_LARGE
    assert push_refusal({4: {number: {0: bytes(32)} for number in range(9)}}) is Reason.TOO_LARGE
    assert push_refusal({4: {number: {0: bytes(32)} for number in range(8)}}) is Reason.MALFORMED


# ── log increments beside it ─────────────────────────────────────────────────────────────────────────────────────────


def test_an_increment_promises_an_entry_at_least() -> None:
    """The body states that the increment starts at entry 4, so there are at least 5 entries."""
    assert push({5: {"ima": [b"", 5]}}).unsigned_increments == {"ima": LogIncrement(records=b"", total=5)}
    for total in (4, 3, 0):
        reason, detail = refusal(lambda total=total: push({5: {"ima": [b"x", total]}}))  # type: ignore[misc]
        assert (reason, "no entry" in detail) == (Reason.MALFORMED, True)


def test_an_increment_belongs_to_a_log_that_the_body_names() -> None:
    reason, detail = refusal(lambda: push({5: {"tcg2": [b"x", 5]}}))
    assert (reason, "does not state its start" in detail) == (Reason.MALFORMED, True)
    assert push_refusal({5: {"ima": [b"x", 5], "tcg2": [b"x", 5]}}) is Reason.MALFORMED


@pytest.mark.parametrize(
    ("increments", "reason"),
    [
        ({}, Reason.MALFORMED),
        ({"ima": [b"x"]}, Reason.MALFORMED),
        ({"ima": [b"x", 5, 0]}, Reason.MALFORMED),
        ({"ima": ["x", 5]}, Reason.MALFORMED),
        ({"ima": [b"x", True]}, Reason.MALFORMED),
        ({"ima": [b"x", 2_000_001]}, Reason.MALFORMED),
        ({"IMA": [b"x", 5]}, Reason.MALFORMED),
        ({"x" * 64: [b"x", 5]}, Reason.MALFORMED),
        ({"x" * 65: [b"x", 5]}, Reason.TOO_LARGE),
        ({f"cel/{number}": [b"", 5] for number in range(17)}, Reason.TOO_LARGE),
    ],
    ids=[
        *("none", "no total", "more", "text", "boolean", "too many entries", "unknown log"),
        *("unknown long name", "longer name", "many logs"),
    ],
)
def test_wrong_increments_are_refused(increments: object, reason: Reason) -> None:
    assert push_refusal({5: increments}) is reason


def test_increments_reach_their_limits() -> None:
    starts = {f"cel/{'n' * 30}{number:02d}": 0 for number in range(16)}
    increments = {name: [b"", 2_000_000] for name in starts}
    assert len(push({1: cbor.encode({**ITEMS, 8: starts}), 5: increments}).unsigned_increments) == 16
