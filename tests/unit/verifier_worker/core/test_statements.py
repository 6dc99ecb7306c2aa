"""The newest statements together: what is in force, how current it is, and whose word counts about an endorsement."""

from dataclasses import replace

import pytest

from schemas.errors import PeerError
from schemas.identifiers import Ueid
from schemas.messages.key_scope import EVERYTHING, KeyScope
from schemas.messages.trust_statement import Listed, TrustStatement, Withdrawal, Withdrawn
from schemas.reasons import Reason
from schemas.topics import TopicKind
from verifier_worker.core.statements import UNSTATED, Current, Statements, least

ONE, TWO, SUPPLIER = b"one", b"two", b"supplier"
UEID = Ueid(b"\x01" + bytes(32))
DIGEST, OTHER = b"\x01" * 32, b"\x02" * 32
REVOKED = Withdrawal(below=5, standing=Withdrawn.REVOKED, at_s=1, by="operator")
SCOPES = {SUPPLIER: KeyScope(kinds=frozenset({TopicKind.REFERENCE_VALUES, TopicKind.ENDORSEMENTS}))}


def statement(key: bytes = ONE, number: int = 1, issued_s: int = 100, **changes: object) -> TrustStatement:
    fields = {"issuer": "e", "number": number, "issued_s": issued_s, "not_after_s": issued_s + 50, "key_id": key}
    return TrustStatement(**(fields | changes))  # type: ignore[arg-type]  # fields by name


def statements(*taken: TrustStatement, scopes: dict[bytes, KeyScope] | None = None) -> Statements:
    made = Statements(lambda key: (scopes or SCOPES).get(key, EVERYTHING))
    for each in taken:
        made.take(each)
    return made


def test_without_a_statement_nothing_is_stated() -> None:
    made = statements()
    assert not made.any
    assert made.policies_of("lab") == ()
    assert made.of_policy("fleet", 1, DIGEST) is None
    assert made.of_endorsement(ONE, "") == UNSTATED
    assert made.withdrawal(UEID, 1, ONE, "") is None


@pytest.mark.parametrize("number", [0, 1])
def test_a_statement_is_replaced_by_a_greater_number_alone(number: int) -> None:
    made = statements(statement(withdrawn={UEID: REVOKED}))
    with pytest.raises(PeerError) as refused:
        made.take(statement(number=number))
    assert refused.value.reason is Reason.OBJECT_ROLLED_BACK
    assert made.withdrawal(UEID, 1, ONE, "") == REVOKED
    made.take(statement(number=2))
    assert made.withdrawal(UEID, 1, ONE, "") is None


def test_keys_do_not_replace_each_others_statements() -> None:
    made = statements(statement(number=9), statement(TWO, 1, issued_s=70))
    assert made.of_endorsement(ONE, "") == Current(100, 150)
    assert made.of_endorsement(TWO, "") == Current(70, 120)


def test_what_is_newly_withdrawn_is_returned_once() -> None:
    made = statements()
    assert made.take(statement(withdrawn={UEID: REVOKED})) == {UEID}
    assert made.take(statement(number=2, withdrawn={UEID: REVOKED})) == frozenset()
    ended = Withdrawal(below=6, standing=Withdrawn.DECOMMISSIONED, at_s=2)
    assert made.take(statement(number=3, withdrawn={UEID: ended})) == {UEID}
    replaced = Withdrawal(below=7, standing=Withdrawn.REPLACED, at_s=3)
    assert made.take(statement(number=4, withdrawn={UEID: replaced})) == frozenset()


@pytest.mark.parametrize(("version", "is_withdrawn"), [(4, True), (5, False), (6, False)])
def test_versions_below_are_withdrawn(version: int, is_withdrawn: bool) -> None:
    found = statements(statement(withdrawn={UEID: REVOKED})).withdrawal(UEID, version, ONE, "")
    assert (found is not None) is is_withdrawn


def test_another_authority_cannot_speak_for_a_key_that_speaks_for_itself() -> None:
    """Else a current statement of one endorser would hide that the other's are held back."""
    made = statements(statement(TWO, withdrawn={UEID: REVOKED}))
    assert made.of_endorsement(ONE, "") == UNSTATED
    assert made.withdrawal(UEID, 1, ONE, "") is None


def test_for_a_key_that_may_not_state_anything_the_authorities_speak() -> None:
    made = statements(statement(withdrawn={UEID: REVOKED}))
    assert made.of_endorsement(SUPPLIER, "") == Current(100, 150)
    assert made.withdrawal(UEID, 1, SUPPLIER, "") == REVOKED


@pytest.mark.parametrize("order", [(ONE, TWO), (TWO, ONE)])
def test_of_several_authorities_each_must_be_current(order: tuple[bytes, bytes]) -> None:
    """Else one that is current would hide that the other's revocation is held back."""
    issued = {ONE: statement(ONE), TWO: statement(TWO, issued_s=300)}
    assert statements(*(issued[key] for key in order)).of_endorsement(SUPPLIER, "") == Current(100, 150)


def test_a_key_that_may_state_nothing_needs_no_kind_of_its_own() -> None:
    scopes = {SUPPLIER: KeyScope(kinds=frozenset(TopicKind) - {TopicKind.STATEMENTS})}
    assert statements(statement(), scopes=scopes).of_endorsement(SUPPLIER, "") == Current(100, 150)
    scopes = {SUPPLIER: KeyScope(kinds=frozenset({TopicKind.STATEMENTS}))}
    assert statements(statement(), scopes=scopes).of_endorsement(SUPPLIER, "") == UNSTATED


def test_an_authority_speaks_for_its_groups_alone() -> None:
    scopes = {**SCOPES, ONE: KeyScope(groups=frozenset({"lab", "*"}))}
    made = statements(statement(withdrawn={UEID: REVOKED}), scopes=scopes)
    assert made.withdrawal(UEID, 1, SUPPLIER, "lab") == REVOKED
    assert made.withdrawal(UEID, 1, SUPPLIER, "") == REVOKED
    assert made.withdrawal(UEID, 1, SUPPLIER, "plant") is None
    assert made.of_endorsement(SUPPLIER, "plant") == UNSTATED


@pytest.mark.parametrize(
    ("version", "digest", "in_force"),
    [(3, DIGEST, True), (3, OTHER, False), (2, DIGEST, False), (4, OTHER, True)],
)
def test_the_listed_version_or_a_later_one_is_in_force(version: int, digest: bytes, in_force: bool) -> None:
    listed = {"name": Listed(3, DIGEST)}
    made = statements(statement(policies=listed, reference_values=listed))
    assert (made.of_policy("name", version, digest) == Current(100, 150)) is in_force
    assert (made.of_set("name", version, digest) == Current(100, 150)) is in_force
    assert made.of_policy("other", version, digest) is None
    assert made.of_set("other", version, digest) is None


def test_the_newest_statement_that_lists_an_object_says_how_current_it_is() -> None:
    listed = {"name": Listed(1, DIGEST)}
    made = statements(
        statement(reference_values=listed),
        statement(TWO, issued_s=300, reference_values=listed),
        statement(SUPPLIER, issued_s=900, reference_values={"name": Listed(2, OTHER)}),
    )
    assert made.of_set("name", 1, DIGEST) == Current(300, 350)


def test_a_group_has_the_policy_that_names_it_else_that_of_all_others() -> None:
    made = statements(statement(groups={"lab": "strict", "*": "fleet"}))
    assert made.policies_of("lab") == ("strict",)
    assert made.policies_of("plant") == made.policies_of("") == ("fleet",)


def test_two_statements_that_give_a_group_two_policies_are_a_conflict() -> None:
    made = statements(statement(groups={"lab": "strict"}), statement(TWO, groups={"lab": "fleet", "*": "fleet"}))
    assert made.policies_of("lab") == ("fleet", "strict")
    assert made.policies_of("") == ("fleet",)


def test_what_is_listed_changes_with_names_versions_and_digests() -> None:
    seen = {
        statements(replace(statement(), **{kind: {name: Listed(version, digest)}})).listed  # type: ignore[arg-type]
        for kind in ("policies", "reference_values")
        for name in ("a", "b")
        for version in (1, 2)
        for digest in (DIGEST, OTHER)
    }
    assert len(seen) == 16


def test_the_trust_in_several_objects_is_the_least() -> None:
    assert least([Current(100, 150), Current(90, 300)]) == Current(90, 150)
    assert least([Current(100, 150)]) == Current(100, 150)
    assert least([Current(100, 150), UNSTATED]) == UNSTATED
    assert least([]) == UNSTATED
