"""Reference values merged at a moment, and what is remembered of the versions before them."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from schemas.hashes import SHA256, SHA384
from schemas.messages.key_scope import EVERYTHING, KeyScope
from schemas.messages.reference_values import Outgoing, ReferenceValues
from schemas.messages.trust_statement import TrustStatement, Withdrawal, Withdrawn
from schemas.reasons import Reason
from tests.builders.file_signing import file_key
from tests.worlds.device import FakeDevice, make_endorsement, make_policy, make_references, make_trust
from verifier_worker.core.statements import UNSTATED, Statements
from verifier_worker.core.trust import (
    REASON_OF,
    EndorsedKey,
    References,
    Trust,
    endorsed_key,
    label_of,
    merge_references,
    succeed,
    withdrawal_of,
    withdrawal_text,
)

NOW_S = 1000
A, B, C = b"\x0a" * 32, b"\x0b" * 32, b"\x0c" * 32


def values(name: str, version: int = 1, **changes: object) -> ReferenceValues:
    chosen: dict[str, object] = {"name": name, "version": version, "registers": {}, "files": {}, **changes}
    return replace(make_references(FakeDevice()), **chosen)  # type: ignore[arg-type]  # fields by name


def merged(*sets: ReferenceValues, now_s: int = NOW_S) -> References:
    return merge_references(tuple(each.name for each in sets), {each.name: each for each in sets}, now_s)


def test_what_one_of_several_sets_accepts_is_accepted() -> None:
    first_key, second_key = (file_key(ec.generate_private_key(ec.SECP256R1())) for _ in range(2))
    first = values(
        "first", registers={SHA256: {0: frozenset({A}), 1: frozenset({A})}}, files={A: "a"}, keys=(first_key,)
    )
    second = values(
        "second",
        version=3,
        registers={SHA256: {0: frozenset({B}), 2: frozenset({C})}, SHA384: {0: frozenset({C})}},
        files={B: "b"},
        keys=(second_key, first_key),
    )
    both = merged(first, second)
    assert both.label == "first/1 second/3"
    assert both.sets == ("first/1", "second/3")
    assert both.missing == ()
    assert both.registers == {
        SHA256: {0: frozenset({A, B}), 1: frozenset({A}), 2: frozenset({C})},
        SHA384: {0: frozenset({C})},
    }
    assert both.files == {A, B}
    assert both.keys == (first_key, second_key)
    assert (both.narrower, both.ended) == (frozenset(), {})


def test_a_set_that_is_not_there_is_missing_and_the_others_count() -> None:
    first = values("first", files={A: "a"})
    some = merge_references(("lost", "first", "gone"), {"first": first}, NOW_S)
    assert (some.label, some.missing, some.files) == ("first/1", ("lost", "gone"), frozenset({A}))


@pytest.mark.parametrize(
    ("now_s", "missing"), [(NOW_S - 1, True), (NOW_S, False), (NOW_S + 10, False), (NOW_S + 11, True)]
)
def test_a_set_is_good_from_its_first_second_to_its_last(now_s: int, missing: bool) -> None:
    limited = values("first", files={A: "a"}, not_before_s=NOW_S, not_after_s=NOW_S + 10)
    found = merged(limited, now_s=now_s)
    assert (found.missing == ("first",)) is missing
    assert found.files == (frozenset() if missing else {A})


@pytest.mark.parametrize(("now_s", "outgoing"), [(NOW_S, True), (NOW_S + 1, False)])
def test_outgoing_values_count_to_their_last_second_and_show_in_the_label(now_s: int, outgoing: bool) -> None:
    leaving = Outgoing(until_s=NOW_S, registers={SHA256: {0: frozenset({B})}}, files={B: "b"})
    found = merged(
        values("first", registers={SHA256: {0: frozenset({A})}}, files={A: "a"}, outgoing=leaving), now_s=now_s
    )
    assert found.label == ("first/1+" if outgoing else "first/1")
    assert found.files == ({A, B} if outgoing else {A})
    assert found.registers == {SHA256: {0: frozenset({A, B} if outgoing else {A})}}


# -- versions ----------------------------------------------------------------------------------------------------------


def test_the_same_label_again_keeps_what_is_remembered() -> None:
    before = replace(merged(values("a", files={A: "a"})), narrower=frozenset({"a/0"}), ended={"a/-1": 5})
    again = succeed(before, merged(values("a", files={A: "a"})), 99)
    assert (again.narrower, again.ended) == (frozenset({"a/0"}), {"a/-1": 5})


def test_values_that_only_grew_make_all_earlier_labels_narrower() -> None:
    before = replace(merged(values("a", files={A: "a"})), narrower=frozenset({"a/0"}), ended={"a/-1": 5})
    after = succeed(before, merged(values("a", version=2, files={A: "a", B: "b"})), 99)
    assert (after.narrower, after.ended) == (frozenset({"a/0", "a/1"}), {"a/-1": 5})
    same = succeed(before, merged(values("a", version=2, files={A: "a"})), 99)
    assert same.narrower == frozenset({"a/0", "a/1"})


def test_values_that_lost_a_file_end_all_earlier_labels_now_and_once() -> None:
    before = replace(
        merged(values("a", files={A: "a"})), narrower=frozenset({"a/0", "a/-1"}), ended={"a/-1": 5, "a/-2": 4}
    )
    after = succeed(before, merged(values("a", version=2, files={B: "b"})), 99)
    assert after.narrower == frozenset()
    assert after.ended == {"a/-2": 4, "a/-1": 5, "a/0": 99, "a/1": 99}


def test_a_key_taken_away_ends_labels_too() -> None:
    key, other = (file_key(ec.generate_private_key(ec.SECP256R1())) for _ in range(2))
    before = merged(values("a", files={A: "a"}, keys=(key,)))
    assert succeed(before, merged(values("a", version=2, files={A: "a"}, keys=(other, key))), 9).narrower == {"a/1"}
    assert succeed(before, merged(values("a", version=2, files={A: "a"}, keys=(other,))), 9).ended == {"a/1": 9}


def test_of_ended_labels_the_latest_256_are_remembered() -> None:
    many = {f"a/{number}": 1000 - number for number in range(256)}  # the first ones ended last
    before = replace(merged(values("b", files={A: "a"})), ended=many)
    after = succeed(before, merged(values("b", version=2, files={B: "b"})), 5000)
    assert len(after.ended) == 256
    assert "a/255" not in after.ended  # it ended first
    assert list(after.ended)[-1] == "b/1"
    assert list(after.ended.values()) == sorted(after.ended.values())


def test_what_is_not_given_is_empty() -> None:
    bare = References(label="", missing=(), registers={}, files=frozenset())
    assert (bare.sets, bare.keys, bare.narrower, bare.ended) == ((), (), frozenset(), {})
    trust = Trust(endorsed={}, handles={}, policy=None, references=bare)
    assert (trust.group, trust.conflict, trust.missing, trust.current) == ("", "", "", UNSTATED)
    assert (trust.statements, trust.newest, trust.stamps) == (None, None, None)


# -- names -------------------------------------------------------------------------------------------------------------


def test_what_entries_were_judged_with_is_named_by_policy_and_values() -> None:
    trust = make_trust(FakeDevice(), policy=make_policy())
    assert trust.policy is not None
    assert label_of(trust) == f"{trust.policy.measures} good/1"
    assert label_of(replace(trust, policy=None)) == "good/1"
    assert label_of(replace(trust, policy=None, references=replace(trust.references, label=""))) == ""


def test_an_endorsed_key_has_its_tpm_name_and_its_public_key() -> None:
    device = FakeDevice()
    endorsement = make_endorsement(device.ueid, device.public)
    key = endorsed_key(endorsement)
    assert key.endorsement is endorsement
    assert key.name == device.public.name
    assert key.public_key == device.public.public_key()


def test_an_endorsed_key_knows_its_group_and_its_signer() -> None:
    device = FakeDevice()
    endorsement = make_endorsement(device.ueid, device.public)
    assert (endorsed_key(endorsement).signer, endorsed_key(endorsement, b"key").signer) == (b"", b"key")
    assert endorsed_key(replace(endorsement, group=None)).group == ""
    assert endorsed_key(replace(endorsement, group="lab")).group == "lab"
    assert EndorsedKey(endorsement=endorsement, name=b"", public_key=device.public.public_key()).signer == b""


# -- withdrawn endorsements --------------------------------------------------------------------------------------------

REVOKED = Withdrawal(below=2, standing=Withdrawn.REVOKED, at_s=0, by="operator")


def test_a_withdrawal_is_told_with_its_author_and_its_time() -> None:
    assert withdrawal_text(REVOKED) == "revoked by operator at 1970-01-01T00:00:00Z"
    nameless = replace(REVOKED, by="", at_s=61)
    assert withdrawal_text(nameless) == "revoked by the endorser at 1970-01-01T00:01:01Z"


def test_every_way_to_withdraw_has_its_reason() -> None:
    assert REASON_OF == {
        Withdrawn.REVOKED: Reason.ATTESTING_KEY_REVOKED,
        Withdrawn.DECOMMISSIONED: Reason.ATTESTER_DECOMMISSIONED,
        Withdrawn.REPLACED: Reason.ENDORSEMENT_REPLACED,
    }


def test_an_endorsement_is_withdrawn_by_its_version_its_signer_and_its_group() -> None:
    device = FakeDevice()
    endorsement = replace(make_endorsement(device.ueid, device.public), version=1, group="lab")
    statements = Statements(lambda key: KeyScope(kinds=frozenset(), groups=frozenset({"lab"})))
    statements.take(
        TrustStatement(
            issuer="e", number=1, issued_s=0, not_after_s=9, withdrawn={device.ueid: REVOKED}, key_id=b"authority"
        )
    )
    trust = replace(
        make_trust(device), endorsed={device.ueid: endorsed_key(endorsement, b"supplier")}, statements=statements
    )
    assert withdrawal_of(trust, device.ueid) == REVOKED
    for other in (replace(endorsement, version=2), replace(endorsement, group="plant")):
        assert withdrawal_of(replace(trust, endorsed={device.ueid: endorsed_key(other)}), device.ueid) is None
    assert withdrawal_of(replace(trust, endorsed={}), device.ueid) is None
    assert withdrawal_of(replace(trust, statements=None), device.ueid) is None


def test_a_key_that_states_for_itself_withdraws_its_own_endorsements() -> None:
    device = FakeDevice()
    statements = Statements(lambda _: EVERYTHING)
    statements.take(
        TrustStatement(issuer="e", number=1, issued_s=0, not_after_s=9, withdrawn={device.ueid: REVOKED}, key_id=b"own")
    )
    endorsement = replace(make_endorsement(device.ueid, device.public), version=1)
    trust = replace(make_trust(device), statements=statements)
    for signer, withdrawal in ((b"own", REVOKED), (b"other", None)):
        signed = replace(trust, endorsed={device.ueid: endorsed_key(endorsement, signer)})
        assert withdrawal_of(signed, device.ueid) == withdrawal
