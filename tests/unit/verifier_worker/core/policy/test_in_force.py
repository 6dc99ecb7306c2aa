"""Which policy is a group's, at which second, and what a policy that cannot be read leaves behind."""

from dataclasses import replace

import pytest

from schemas.errors import ConfigError, PeerError
from schemas.messages.key_scope import EVERYTHING
from schemas.messages.policy import SignedPolicy
from schemas.messages.trust_statement import Listed, TrustStatement
from schemas.reasons import Reason
from tests.worlds.device import make_policy
from verifier_worker.core.policy.in_force import Choice, Policies
from verifier_worker.core.policy.policy_file import AppraisalPolicy
from verifier_worker.core.statements import Current, Statements

UNREADABLE = "future = 1"


def compile_policy(signed: SignedPolicy) -> AppraisalPolicy:
    """Reads ``groups``; refuses what is of a later release."""
    if UNREADABLE in signed.text:
        raise ConfigError("of a later release")
    groups = tuple(signed.text.split()) or ("*",)
    return make_policy(id="anything", groups=groups, reference_values=(signed.id,), grace_s=float(signed.version))


def signed(name: str, groups: str = "*", version: int = 1, **changes: int) -> SignedPolicy:
    made = SignedPolicy(id=name, version=version, signer="e", not_before_s=0, not_after_s=1000, text=groups)
    return replace(made, **changes)  # type: ignore[arg-type]  # fields by name


def unreadable(name: str, groups: str, version: int = 1, **changes: int) -> SignedPolicy:
    return replace(signed(name, "*", version, **changes), text=f"{groups}\n{UNREADABLE}")


def policies(*taken: SignedPolicy, own: AppraisalPolicy | None = None) -> Policies:
    made = Policies(own, compile_policy)
    for each in taken:
        made.take(each)
    return made


def label_of(choice: Choice) -> str | None:
    assert choice.conflict == ""
    return choice.policy.label if choice.policy is not None else None


def refusal(made: Policies, each: SignedPolicy, *, stored: bool = False) -> Reason:
    with pytest.raises(PeerError) as refused:
        made.take(each, stored=stored)
    return refused.value.reason


# -- whose it is -------------------------------------------------------------------------------------------------------


def test_a_group_has_the_policy_that_names_it_else_that_for_all_else_the_workers_own() -> None:
    own = make_policy(id="own", groups=("*",))
    made = policies(own=own)
    assert label_of(made.choose("lab", 0)) == "own/1"
    made.take(signed("all"))
    assert label_of(made.choose("lab", 0)) == "all/1"
    made.take(signed("lab", "lab edge"))
    assert {group: label_of(made.choose(group, 0)) for group in ("lab", "edge", "", "other")} == {
        "lab": "lab/1",
        "edge": "lab/1",
        "": "all/1",
        "other": "all/1",
    }


def test_the_workers_own_is_for_its_groups_or_for_all() -> None:
    made = policies(own=make_policy(id="own", groups=("lab",)))
    assert label_of(made.choose("lab", 0)) == "own/1"
    assert label_of(made.choose("edge", 0)) is None
    assert made.choose("edge", 0) == Choice()


def test_no_group_is_called_as_all_groups_are() -> None:
    made = policies(signed("both", "* lab"), signed("named", "lab"))
    assert label_of(made.choose("*", 0)) == "both/1"
    assert made.choose("lab", 0) == Choice(conflict="both/1, named/1")


def test_several_that_claim_a_group_alike_leave_it_without_any() -> None:
    own = make_policy(id="own")
    made = policies(signed("b", "lab"), signed("a", "lab"), signed("all"), own=own)
    assert made.choose("lab", 0) == Choice(conflict="a/1, b/1")
    assert label_of(made.choose("edge", 0)) == "all/1"
    made.take(signed("every"))
    assert made.choose("edge", 0) == Choice(conflict="all/1, every/1")
    assert made.choose("lab", 0) == Choice(conflict="a/1, b/1")


def test_the_groups_of_a_policy_are_known_even_where_it_cannot_be_read() -> None:
    made = left(unreadable("lost", "groups = ['lab']"), taken=(signed("all", "edge plant"),))
    assert made.groups_of("all") == ("edge", "plant")
    assert made.groups_of("lost") == ("lab",)
    assert made.groups_of("unknown") == ()


@pytest.mark.parametrize(("now_s", "is_missing"), [(9, False), (21, True)])
def test_one_that_cannot_be_read_and_has_ended_leaves_its_groups_without_one(now_s: int, is_missing: bool) -> None:
    made = left(unreadable("lost", "groups = ['lab']", not_before_s=10, not_after_s=20))
    assert (made.choose("lab", now_s).missing == "lost/1, which cannot be read, which is not valid now") is is_missing


def test_a_policy_claims_its_groups_from_its_first_second_on() -> None:
    for lost in (False, True):
        early = {"not_before_s": 10, "not_after_s": 9}  # never valid: it begins after its end
        made = left(unreadable("x", "groups = ['lab']", **early)) if lost else policies(signed("x", "lab", **early))
        assert made.choose("lab", 9).missing == ""
        assert made.choose("lab", 10).missing != ""


def test_a_policy_that_has_ended_leaves_its_groups_without_one() -> None:
    made = policies(signed("lab", "lab", not_after_s=20), signed("all"))
    assert made.choose("lab", 21) == Choice(missing="lab/1, which is not valid now")
    assert label_of(made.choose("edge", 21)) == "all/1"


@pytest.mark.parametrize(("now_s", "valid"), [(9, False), (10, True), (20, True), (21, False)])
def test_a_policy_is_in_force_from_its_first_second_to_its_last(now_s: int, valid: bool) -> None:
    made = policies(signed("a", not_before_s=10, not_after_s=20))
    assert (label_of(made.choose("lab", now_s)) == "a/1") is valid


def test_a_policy_is_labelled_by_its_signature() -> None:
    assert label_of(policies(signed("a", version=7)).choose("", 0)) == "a/7"


# -- versions ----------------------------------------------------------------------------------------------------------


def test_the_version_in_force_is_known_valid_or_not() -> None:
    made = policies(signed("a", version=3, not_after_s=5), signed("b"))
    assert (made.version("a"), made.version("b"), made.version("c")) == (3, 1, None)
    made.take(signed("a", version=4))
    assert made.version("a") == 4


def test_a_policy_that_cannot_be_read_leaves_what_was_in_force() -> None:
    made = policies(signed("a"))
    assert refusal(made, unreadable("a", "groups = ['*']", version=2)) is Reason.POLICY_INVALID
    assert label_of(made.choose("", 0)) == "a/1"
    assert made.version("a") == 1


def test_what_it_replaced_does_not_come_back() -> None:
    made = policies()
    refusal(made, unreadable("a", "groups = ['*']", version=3))
    assert refusal(made, signed("a", version=2)) is Reason.OBJECT_ROLLED_BACK
    assert refusal(made, unreadable("a", "", version=2)) is Reason.OBJECT_ROLLED_BACK
    made.take(signed("b", version=1))
    made.take(signed("a", version=3))
    assert made.version("a") == 3


def test_even_a_version_of_nothing_may_be_the_first() -> None:
    assert policies(signed("a", version=0)).version("a") == 0


# -- what was in force under another release ---------------------------------------------------------------------------


def left(*stored: SignedPolicy, taken: tuple[SignedPolicy, ...] = ()) -> Policies:
    made = policies(*taken, own=make_policy(id="own"))
    for each in stored:
        assert refusal(made, each, stored=True) is Reason.POLICY_INVALID
    return made


def test_its_groups_do_not_fall_to_a_weaker_policy() -> None:
    made = left(unreadable("lab", "groups = ['lab', 'edge']", version=2), taken=(signed("all"),))
    assert made.choose("lab", 0) == Choice(conflict="lab/2, which cannot be read")
    assert made.choose("edge", 0) == Choice(conflict="lab/2, which cannot be read")
    assert label_of(made.choose("other", 0)) == "all/1"
    made.take(signed("lab", "lab", version=3))
    assert label_of(made.choose("lab", 0)) == "lab/3"
    assert label_of(made.choose("edge", 0)) == "all/1"


def test_one_that_was_for_all_leaves_all_but_those_with_a_policy_of_their_own() -> None:
    made = left(unreadable("all", "groups = ['*']"), taken=(signed("lab", "lab"),))
    assert made.choose("other", 0) == Choice(conflict="all/1, which cannot be read")
    assert label_of(made.choose("lab", 0)) == "lab/1"


def test_it_is_in_conflict_with_one_that_can_be_read() -> None:
    made = left(unreadable("b", "groups = ['lab']"), taken=(signed("a", "lab"),))
    assert made.choose("lab", 0) == Choice(conflict="a/1, b/1, which cannot be read")


def test_a_lost_policy_for_the_group_without_a_name_takes_no_other_group() -> None:
    made = left(unreadable("nameless", "groups = ['']"))
    assert made.choose("", 0) == Choice(conflict="nameless/1, which cannot be read")
    assert label_of(made.choose("lab", 0)) == "own/1"


@pytest.mark.parametrize(("now_s", "lost"), [(9, False), (10, True), (20, True), (21, False)])
def test_it_counts_while_it_is_valid(now_s: int, lost: bool) -> None:
    made = left(unreadable("a", "groups = ['*']", not_before_s=10, not_after_s=20))
    assert bool(made.choose("", now_s).conflict) is lost


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("groups = ['lab']", ("lab",)),
        ("other = 1", ("*",)),
        ("groups = 'lab'", ("*",)),
        ("groups = [7]", ("7",)),
        ("groups = [", ("*",)),
        ("groups = " + "[" * 60_000, ("*",)),
    ],
)
def test_as_far_as_its_groups_cannot_be_read_it_was_for_all(text: str, groups: tuple[str, ...]) -> None:
    made = left(unreadable("a", text))
    for group in ("lab", "7", "other"):
        assert bool(made.choose(group, 0).conflict) is (group in groups or groups == ("*",))


def test_one_that_never_was_in_force_takes_no_group() -> None:
    made = policies(own=make_policy(id="own"))
    with pytest.raises(PeerError):
        made.take(unreadable("a", "groups = ['*']"))
    assert label_of(made.choose("", 0)) == "own/1"


# -- statements of what is current -------------------------------------------------------------------------------------


def statements(groups: dict[str, str], *listed: tuple[str, int, bytes]) -> Statements:
    """One statement that gives policies to groups, and lists policies as (id, version, digest)."""
    made = Statements(lambda _: EVERYTHING)
    policies = {name: Listed(version, digest) for name, version, digest in listed}
    made.take(TrustStatement(issuer="e", number=1, issued_s=5, not_after_s=9, policies=policies, groups=groups))
    return made


def test_statements_decide_which_policy_a_group_has_and_how_current_it_is() -> None:
    made = Policies(make_policy(id="own", groups=("*",)), compile_policy)
    made.take(signed("a", "lab"), b"A")
    made.take(signed("b", "*"), b"B")
    stated = statements({"lab": "b"}, ("b", 1, b"B"))
    choice = made.choose("lab", 0, stated)
    assert (label_of(choice), choice.current) == ("b/1", Current(5, 9))
    assert label_of(made.choose("edge", 0, stated)) == "own/1"  # stated of no policy
    assert made.choose("edge", 0, stated).current is None


def test_without_a_statement_the_policies_claim_their_groups() -> None:
    made = policies(signed("a", "lab"))
    for stated in (None, Statements(lambda _: EVERYTHING)):
        assert label_of(made.choose("lab", 0, stated)) == "a/1"


def test_statements_that_give_a_group_two_policies_leave_it_without_any() -> None:
    stated = statements({"lab": "a"})
    other = TrustStatement(issuer="f", number=1, issued_s=5, not_after_s=9, groups={"lab": "b"}, key_id=b"f")
    stated.take(other)
    assert policies(signed("a"), signed("b")).choose("lab", 0, stated) == Choice(conflict="a, b")


def test_a_group_whose_policy_is_not_in_force_falls_to_no_other() -> None:
    made = Policies(make_policy(id="own", groups=("*",)), compile_policy)
    stated = statements({"*": "a"}, ("a", 2, b"A"))
    assert made.choose("lab", 0, stated) == Choice(missing="a, which was not received")
    made.take(signed("a"), b"A")
    assert made.choose("lab", 0, stated) == Choice(missing="a/1, which is not the version in force")
    made.take(signed("a", version=2, not_before_s=10, not_after_s=20), b"other")
    assert made.choose("lab", 10, stated) == Choice(missing="a/2, which is not the version in force")
    made.take(signed("a", version=2, not_before_s=10, not_after_s=20), b"A")
    for now_s, valid in ((9, False), (10, True), (20, True), (21, False)):
        choice = made.choose("lab", now_s, stated)
        assert choice.missing == ("" if valid else "a/2, which is not valid now")
        assert (choice.policy is not None) is valid


def test_a_group_whose_policy_cannot_be_read_has_none() -> None:
    made = left(unreadable("a", "groups = ['lab']"), taken=(signed("b"),))
    assert made.choose("edge", 0, statements({"*": "a"})) == Choice(conflict="a/1, which cannot be read")


def test_the_workers_own_policy_is_for_its_groups_where_statements_name_none() -> None:
    stated = statements({"other": "a"})
    for groups, covered in ((("lab",), True), (("*",), True), (("edge",), False)):
        made = Policies(make_policy(id="own", groups=groups), compile_policy)
        assert (label_of(made.choose("lab", 0, stated)) == "own/1") is covered
    assert policies().choose("lab", 0, stated) == Choice()


def test_a_policy_that_has_not_begun_takes_no_group() -> None:
    made = policies(signed("a", "lab", not_before_s=10), own=make_policy(id="own"))
    assert label_of(made.choose("lab", 9)) == "own/1"
    assert label_of(made.choose("lab", 10)) == "a/1"
    lost = left(unreadable("a", "groups = ['lab']", not_before_s=10, not_after_s=20))
    assert label_of(lost.choose("lab", 9)) == "own/1"
    assert lost.choose("lab", 21) == Choice(missing="a/1, which cannot be read, which is not valid now")


def test_every_policy_that_has_ended_is_named() -> None:
    made = policies(signed("b", "lab", not_after_s=5), signed("a", "lab", not_after_s=5))
    assert made.choose("lab", 6) == Choice(missing="a/1, b/1, which is not valid now")


# -- what the trust store asks -----------------------------------------------------------------------------------------


def test_names_of_reference_values_are_those_of_every_policy() -> None:
    own = make_policy(id="own", reference_values=("mine", "ours"))
    assert policies().reference_sets == frozenset()
    assert policies(own=own).reference_sets == {("mine", "ours")}
    late = signed("late", not_after_s=-1)
    assert policies(signed("a"), late, own=own).reference_sets == {("a",), ("late",), ("mine", "ours")}


def test_the_shortest_grace_is_that_of_any_policy() -> None:
    own = make_policy(id="own", grace_s=5.0)
    assert policies().least_grace_us is None
    assert policies(own=own).least_grace_us == 5_000_000
    assert policies(signed("a", version=7), own=own).least_grace_us == 5_000_000
    assert policies(signed("a", version=7), signed("b", version=3), own=own).least_grace_us == 3_000_000


def test_the_choice_may_change_where_any_validity_begins_or_has_ended() -> None:
    made = left(
        unreadable("lost", "groups = ['*']", not_before_s=50, not_after_s=99),
        taken=(signed("a", not_before_s=10, not_after_s=20),),
    )
    assert list(made.edges_s()) == [10, 21, 50, 100]
