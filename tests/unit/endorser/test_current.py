"""The next statement of what is current: what comes into force, what is replaced, what is withdrawn."""

import hashlib

import pytest

from endorser.core.current import NextStatement
from schemas.errors import ConfigError
from schemas.identifiers import Ueid, ueid_text
from schemas.messages.endorsement import Endorsement
from schemas.messages.policy import SignedPolicy
from schemas.messages.reference_values import ReferenceValues
from schemas.messages.trust_statement import Listed, TrustStatement, Withdrawal, Withdrawn
from tests.worlds.device import FakeDevice, make_endorsement, make_references

NOW_S = 1000
DEVICE = FakeDevice()
UEID = DEVICE.ueid
OTHER = Ueid(b"\x01" + bytes(32))


def policy(name: str, groups: str = '["*"]', version: int = 1) -> tuple[SignedPolicy, bytes]:
    text = f'id = "{name}"\ngroups = {groups}\n'
    made = SignedPolicy(id=name, version=version, signer="e", not_before_s=0, not_after_s=9, text=text)
    return made, f"{name}/{version}".encode()


def values(version: int = 1) -> tuple[ReferenceValues, bytes]:
    return make_references(DEVICE, version=version), b"good/%d" % version


def endorsement(version: int = 1) -> tuple[Endorsement, bytes]:
    made = make_endorsement(UEID, DEVICE.public)
    fields = {name: getattr(made, name) for name in made.__slots__}
    return Endorsement(**{**fields, "version": version}), b"endorsement"


def listed(raw: bytes, version: int = 1) -> Listed:
    return Listed(version, hashlib.sha256(raw).digest())


def after(*objects: tuple[SignedPolicy | ReferenceValues | Endorsement, bytes]) -> TrustStatement:
    made = NextStatement(None, NOW_S)
    made.put_in_force(objects)
    return made.made("endorser", 50)


def test_the_first_statement_lists_what_it_was_given() -> None:
    made = after(policy("fleet"), policy("lab", '["lab", "edge"]'), values())
    assert (made.issuer, made.number, made.issued_s, made.not_after_s) == ("endorser", NOW_S, NOW_S, NOW_S + 50)
    assert made.policies == {"fleet": listed(b"fleet/1"), "lab": listed(b"lab/1")}
    assert made.groups == {"*": "fleet", "lab": "lab", "edge": "lab"}
    assert made.reference_values == {"good": listed(b"good/1")}
    assert made.withdrawn == {}


@pytest.mark.parametrize(("now_s", "number"), [(NOW_S - 5, NOW_S + 1), (NOW_S, NOW_S + 1), (NOW_S + 9, NOW_S + 9)])
def test_numbers_grow_whatever_the_clock_does(now_s: int, number: int) -> None:
    made = NextStatement(after(values()), now_s).made("endorser", 50)
    assert (made.number, made.issued_s) == (number, now_s)
    assert made.reference_values == {"good": listed(b"good/1")}


def test_a_new_version_replaces_the_one_before_and_its_groups() -> None:
    changing = NextStatement(after(policy("lab", '["lab", "edge"]'), values()), NOW_S)
    changing.put_in_force([policy("lab", '["lab"]', 2), values(2)])
    made = changing.made("endorser", 50)
    assert made.policies == {"lab": listed(b"lab/2", 2)}
    assert made.groups == {"lab": "lab"}
    assert made.reference_values == {"good": listed(b"good/2", 2)}


@pytest.mark.parametrize("older", [policy("lab", version=1), values(1), (policy("lab", version=2)[0], b"another")])
def test_an_older_version_or_another_object_of_the_same_is_refused(
    older: tuple[SignedPolicy | ReferenceValues, bytes],
) -> None:
    changing = NextStatement(after(policy("lab", version=2), values(2)), NOW_S)
    with pytest.raises(ConfigError, match="version 2 is in force; sign a later one"):
        changing.put_in_force([older])


def test_the_same_object_again_changes_nothing() -> None:
    before = after(policy("lab", version=2), values(2))
    changing = NextStatement(before, NOW_S)
    changing.put_in_force([policy("lab", version=2), values(2)])
    assert changing.made("endorser", 50).policies == before.policies


def test_two_policies_cannot_have_one_group() -> None:
    changing = NextStatement(after(policy("fleet")), NOW_S)
    with pytest.raises(
        ConfigError, match=r"policy fleet is in force for group '\*'; withdraw it with --withdraw policies/fleet"
    ):
        changing.put_in_force([policy("lab", '["*", "lab"]')])


def test_an_endorsement_withdraws_the_versions_before_it() -> None:
    made = after(endorsement(7))
    assert made.withdrawn == {UEID: Withdrawal(below=7, standing=Withdrawn.REPLACED, at_s=NOW_S)}


def test_policies_and_sets_are_withdrawn_by_name() -> None:
    changing = NextStatement(after(policy("fleet"), policy("lab", '["lab"]'), values()), NOW_S)
    changing.withdraw(["policies/lab", "reference-values/good"], "anna")
    made = changing.made("endorser", 50)
    assert (set(made.policies), made.groups, made.reference_values) == ({"fleet"}, {"*": "fleet"}, {})


def test_an_endorsement_is_revoked_by_hand_until_a_later_version() -> None:
    changing = NextStatement(after(endorsement(7)), NOW_S)
    changing.withdraw([f"endorsements/{ueid_text(UEID)}"], "anna")
    made = changing.made("endorser", 50)
    revoked = Withdrawal(below=NOW_S + 1, standing=Withdrawn.REVOKED, at_s=NOW_S, by="anna")
    assert made.withdrawn == {UEID: revoked}
    again = NextStatement(made, NOW_S)
    with pytest.raises(ConfigError, match=f"version {NOW_S} was revoked; sign version {NOW_S + 1} or a later one"):
        again.put_in_force([endorsement(NOW_S)])
    again.put_in_force([endorsement(NOW_S + 1)])
    assert again.made("endorser", 50).withdrawn[UEID].standing is Withdrawn.REPLACED


@pytest.mark.parametrize(
    "name", ["policies/other", "reference-values/fleet", "fleet", "handles/fleet", "policies/", "endorsements/no ueid"]
)
def test_what_is_not_in_force_cannot_be_withdrawn(name: str) -> None:
    changing = NextStatement(after(policy("fleet"), values()), NOW_S)
    with pytest.raises(ConfigError, match=f"--withdraw {name}"):
        changing.withdraw([name], "anna")


def test_the_error_names_what_could_be_withdrawn() -> None:
    with pytest.raises(ConfigError, match=r"endorsements/UEID or one of: policies/fleet, reference-values/good"):
        NextStatement(after(policy("fleet"), values()), NOW_S).withdraw(["x"], "")
    with pytest.raises(ConfigError, match=r"\(nothing is in force\)"):
        NextStatement(None, NOW_S).withdraw(["x"], "")


def test_the_registry_decides_about_its_devices_alone() -> None:
    changing = NextStatement(after(endorsement(7)), NOW_S)
    ended = Withdrawal(below=9, standing=Withdrawn.DECOMMISSIONED, at_s=3, by="bob")
    changing.take_registry({OTHER: ended})
    assert changing.made("endorser", 50).withdrawn == {
        UEID: Withdrawal(below=7, standing=Withdrawn.REPLACED, at_s=NOW_S),
        OTHER: ended,
    }


@pytest.mark.parametrize(("below", "is_taken"), [(NOW_S, False), (NOW_S + 1, False), (NOW_S + 2, True)])
def test_the_registry_takes_no_revocation_by_hand_back(below: int, is_taken: bool) -> None:
    """A key that was replaced long ago must not put a device back that was revoked since."""
    changing = NextStatement(None, NOW_S)
    changing.withdraw([f"endorsements/{ueid_text(UEID)}"], "anna")
    replaced = Withdrawal(below=below, standing=Withdrawn.REPLACED, at_s=3)
    changing.take_registry({UEID: replaced})
    assert (changing.made("endorser", 50).withdrawn[UEID] == replaced) is is_taken
    ended = Withdrawal(below=NOW_S + 2, standing=Withdrawn.DECOMMISSIONED, at_s=4)
    changing.take_registry({UEID: ended})
    assert changing.made("endorser", 50).withdrawn[UEID] == ended
