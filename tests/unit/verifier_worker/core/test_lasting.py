"""Findings that last: which they are, what adds to them, and the signed things alone that take them away."""

import re
from dataclasses import replace

import pytest

from schemas.hashes import SHA256, SHA384
from schemas.reasons import Reason
from tests.worlds.device import make_policy
from verifier_worker.core.finding import Finding, register_text
from verifier_worker.core.lasting import (
    MAX_LASTING,
    NOTHING,
    Lasting,
    after_settled_quote,
    lasts,
    reported,
    with_found,
    without_covered,
)
from verifier_worker.core.policy.ima_demands import ImaDemands, ImaTable
from verifier_worker.core.policy.policy_file import AppraisalPolicy
from verifier_worker.core.trust import References

POLICY = make_policy()
NO_REFERENCES = References(label="good/1", missing=(), registers={}, files=frozenset())


def unexpected(number: int) -> Finding:
    return Finding(reason=Reason.FILE_UNEXPECTED, detail=f"/{number}", digest=bytes([number]) * 32)


def register(index: int, value: bytes, bank: str = "sha256") -> Finding:
    return Finding(reason=Reason.PCR_UNEXPECTED, detail=register_text(bank, index), digest=value)


A, B, C = map(unexpected, (1, 2, 3))
MANY = tuple(map(unexpected, range(MAX_LASTING + 2)))
FULL = Lasting(findings=MANY[:MAX_LASTING])


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (Reason.FILE_UNEXPECTED, True),
        (Reason.PCR_UNEXPECTED, True),
        (Reason.BOOT_AGGREGATE_MISMATCH, True),
        (Reason.TRANSITION_UNREPORTED, True),  # until it is reported
        (Reason.LOG_MISSING, False),  # makes no claim worse
        (Reason.REBOOTED, False),
    ],
)
def test_a_state_of_the_device_that_makes_a_claim_worse_lasts(reason: Reason, expected: bool) -> None:
    assert lasts(Finding(reason=reason)) is expected


# -- a settled quote ---------------------------------------------------------------------------------------------------


def test_what_a_settled_quote_shows_is_added_once_and_in_order() -> None:
    first = after_settled_quote(Lasting(), [A, Finding(reason=Reason.LOG_MISSING), B], (), "x")
    assert first == Lasting(findings=(A, B))
    assert after_settled_quote(first, [C, A], (), "x") == Lasting(findings=(A, B, C))


def test_where_nothing_is_new_the_same_findings_last() -> None:
    before = Lasting(findings=(A,))
    for found in ([A], [], [Finding(reason=Reason.REBOOTED)]):
        assert after_settled_quote(before, found, (), "x") is before


@pytest.mark.parametrize(
    "other",
    [replace(A, digest=b"other"), replace(A, detail="/other"), replace(A, reason=Reason.PCR_UNEXPECTED)],
)
def test_a_finding_is_another_one_by_reason_by_detail_and_by_digest(other: Finding) -> None:
    assert after_settled_quote(Lasting(findings=(A,)), [other], (), "x").findings == (A, other)


def test_what_does_not_fit_is_remembered_by_its_reason_and_label() -> None:
    assert MAX_LASTING == 32
    fits = after_settled_quote(Lasting(), MANY[:MAX_LASTING], (), "x")
    assert fits == FULL
    more = after_settled_quote(Lasting(), MANY, (), "x")
    assert more == replace(FULL, more=frozenset({Reason.FILE_UNEXPECTED}), more_label="x")
    added = after_settled_quote(FULL, [register(4, b"")], (), "y")
    assert added == replace(FULL, more=frozenset({Reason.PCR_UNEXPECTED}), more_label="y")


def test_what_was_counted_without_being_listed_is_remembered_too() -> None:
    counted = after_settled_quote(Lasting(), [A], (Reason.FILE_UNEXPECTED,), "x")
    assert counted == Lasting(findings=(A,), more=frozenset({Reason.FILE_UNEXPECTED}), more_label="x")
    again = after_settled_quote(counted, [A], (Reason.FILE_UNEXPECTED,), "x")
    assert again == counted


def test_what_did_not_fit_stays_under_the_same_label() -> None:
    before = Lasting(findings=(A,), more=frozenset({Reason.FILE_UNEXPECTED}), more_label="x")
    assert after_settled_quote(before, [A], (), "x") is before
    added = after_settled_quote(before, [B], (), "x")
    assert added == replace(before, findings=(A, B))
    both = after_settled_quote(before, [], (Reason.PCR_UNEXPECTED,), "x")
    assert both.more == {Reason.FILE_UNEXPECTED, Reason.PCR_UNEXPECTED}


def test_measured_again_under_another_label_what_did_not_fit_goes_unless_it_is_found_again() -> None:
    before = Lasting(findings=(A,), more=frozenset({Reason.FILE_UNEXPECTED}), more_label="x")
    assert after_settled_quote(before, [A], (), "y") == Lasting(findings=(A,))
    found = after_settled_quote(before, [A], (Reason.PCR_UNEXPECTED,), "y")
    assert found == replace(before, more=frozenset({Reason.PCR_UNEXPECTED}), more_label="y")


def test_the_first_settled_quote_of_a_later_boot_replaces_everything() -> None:
    before = replace(FULL, more=frozenset({Reason.FILE_UNEXPECTED}), more_label="x", of_earlier_boot=True)
    assert after_settled_quote(before, [A], (), "x") == Lasting(findings=(A,))
    assert after_settled_quote(before, [], (), "x") == Lasting()


# -- reference values and policies -------------------------------------------------------------------------------------


def left(
    *findings: Finding,
    policy: AppraisalPolicy | None = POLICY,
    references: References = NO_REFERENCES,
    accepted: tuple[bytes, ...] = (),
) -> tuple[Finding, ...]:
    return without_covered(Lasting(findings=findings), policy, references, accepted).findings


def test_a_listed_file_is_covered_and_the_others_stay() -> None:
    listing = replace(NO_REFERENCES, files=frozenset({B.digest}))
    assert left(A, B, C, references=listing) == (A, C)
    assert left(A, B, C, accepted=(A.digest, C.digest)) == (B,)


def test_an_excluded_path_is_covered() -> None:
    excluding = replace(POLICY, ima=ImaDemands(excluded=re.compile("/2")))
    assert left(A, B, policy=excluding) == (A,)


def test_nothing_is_covered_without_a_policy_or_while_values_are_missing() -> None:
    listing = replace(NO_REFERENCES, files=frozenset({A.digest}))
    assert left(A, references=listing) == ()
    assert left(A, references=listing, policy=None) == (A,)
    assert left(A, references=replace(listing, missing=("more",))) == (A,)


def test_where_nothing_is_covered_the_same_findings_last() -> None:
    lasting = Lasting(findings=(A, B), more=frozenset({Reason.PCR_UNEXPECTED}), more_label="x")
    assert without_covered(lasting, POLICY, NO_REFERENCES, ()) is lasting
    nothing = replace(lasting, findings=())
    assert without_covered(nothing, POLICY, NO_REFERENCES, ()) is nothing
    some = without_covered(lasting, POLICY, NO_REFERENCES, (A.digest,))
    assert some == replace(lasting, findings=(B,))  # with what did not fit


def test_a_pcr_is_covered_by_its_value_or_by_reference_values_that_do_not_speak_of_it() -> None:
    one, other = b"\1" * 32, b"\2" * 32
    found = register(4, one)
    speaking = {SHA384: {4: frozenset({one})}, SHA256: {3: frozenset({one}), 4: frozenset({other})}}
    assert left(found, references=replace(NO_REFERENCES, registers=speaking)) == (found,)
    approved = {**speaking, SHA256: {4: frozenset({other, one})}}
    assert left(found, references=replace(NO_REFERENCES, registers=approved)) == ()
    silent = {**speaking, SHA256: {3: frozenset({one})}}
    assert left(found, references=replace(NO_REFERENCES, registers=silent)) == ()


@pytest.mark.parametrize(
    ("finding", "asking", "silent"),
    [
        (Finding(reason=Reason.SECURE_BOOT_OFF), {"secure_boot": True}, {"no_test_keys": True}),
        (Finding(reason=Reason.TEST_KEYS_ENROLLED), {"no_test_keys": True}, {"secure_boot": True}),
        (
            Finding(reason=Reason.BOOT_LOADER_UNEXPECTED, digest=b"\1"),
            {"loaders": frozenset({b"\2"})},
            {"loaders": frozenset({b"\1"})},
        ),
        (Finding(reason=Reason.BOOT_LOADER_UNEXPECTED, digest=b"\1"), {"loaders": frozenset({b"\2"})}, {}),
    ],
)
def test_what_a_policy_asks_no_more_or_accepts_is_covered(
    finding: Finding, asking: dict[str, object], silent: dict[str, object]
) -> None:
    assert left(finding, policy=replace(POLICY, **asking)) == (finding,)  # type: ignore[arg-type]  # by name
    assert left(finding, policy=replace(POLICY, **silent)) == ()  # type: ignore[arg-type]  # by name


def test_no_value_covers_an_aggregate_of_another_boot_or_a_written_file() -> None:
    for reason in (Reason.BOOT_AGGREGATE_MISMATCH, Reason.FILE_MEASUREMENT_VIOLATED):
        finding = Finding(reason=reason, digest=A.digest)
        listing = replace(NO_REFERENCES, files=frozenset({A.digest}))
        assert left(finding, references=listing, accepted=(A.digest,)) == (finding,)


# -- what is reported --------------------------------------------------------------------------------------------------


def test_what_lasts_is_reported_beside_what_was_found_now_and_not_twice() -> None:
    lasting = Lasting(findings=(A, B), more=frozenset({Reason.PCR_UNEXPECTED, Reason.FILE_UNEXPECTED}))
    more = [
        Finding(reason=reason, detail="more than can be listed")
        for reason in (Reason.FILE_UNEXPECTED, Reason.PCR_UNEXPECTED)
    ]
    assert reported(lasting, [B, C]) == [A, *more]
    assert reported(lasting, [replace(A, digest=b"")]) == [A, B, *more]
    assert reported(Lasting(), [A]) == []


def test_a_pcr_has_one_name() -> None:
    assert register_text("sha256", 4) == "PCR sha256:4"


@pytest.mark.parametrize(
    ("name", "goes"),
    [
        ("/tmp/evil", True),
        ("/tmp/evil (deleted)", True),
        ("/tmp/cel/app", True),
        ("/tmp/evil (cel)", True),
        ("/tmp/" + "x" * 250, True),
        ("/tmp/" + "x" * 251, False),  # an entry's name may have been cut short
        ("/tmp/evil (app.config, cel/app)", False),
        ("/tmp/evil (cel/app)", False),
        ("/tmp/evil (tcg2)", False),
    ],
)
def test_a_path_that_the_policy_excludes_is_a_path_of_the_ima_list(name: str, goes: bool) -> None:
    """Whoever writes a CEL log may call its entries by paths that the policy excludes from the IMA list."""
    policy = make_policy(ima=ImaTable(exclude=("/tmp/*",), agent=()))
    found = Lasting(findings=(Finding(reason=Reason.FILE_UNEXPECTED, detail=name, digest=b"evil"),))
    assert without_covered(found, policy, NO_REFERENCES, ()) == (Lasting() if goes else found)


def test_what_no_later_quote_shows_is_added_once_and_in_order() -> None:
    """An event makes no claim worse, and lasts all the same."""
    event = Finding(reason=Reason.TRANSITION_UNREPORTED, detail="a suspend")
    before = Lasting(findings=(A,), more=frozenset({Reason.PCR_UNEXPECTED}), more_label="x")
    added = with_found(before, [event, A, B])
    assert added.findings == (A, event, B)
    assert added.more == {Reason.PCR_UNEXPECTED}
    assert added.more_label == "x"
    assert with_found(added, [event, B]) == added


@pytest.mark.parametrize("room", [0, 1, 2])
def test_of_what_no_later_quote_shows_the_reasons_are_kept_where_there_is_no_room(room: int) -> None:
    before = Lasting(findings=MANY[: MAX_LASTING - room], more=frozenset({Reason.PCR_UNEXPECTED}))
    found = [register(number, b"\x09" * 32, "sha384") for number in range(room)]
    found.append(Finding(reason=Reason.TRANSITION_UNREPORTED))
    added = with_found(before, found)
    assert added.findings == (*before.findings, *found[:room])
    assert added.more == {Reason.PCR_UNEXPECTED, Reason.TRANSITION_UNREPORTED}


def test_a_list_that_is_too_long_already_gets_nothing_more() -> None:
    before = Lasting(findings=MANY)
    assert with_found(before, [C, Finding(reason=Reason.TRANSITION_UNREPORTED)]).findings == MANY


def test_nothing_is_no_finding() -> None:
    assert Lasting() == NOTHING
