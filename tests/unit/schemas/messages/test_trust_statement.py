"""Statements of what is current: what is signed is what is read, and nothing else is read."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from schemas import media_types
from schemas.codecs import cbor, cose
from schemas.errors import PeerError
from schemas.identifiers import Ueid
from schemas.messages.trust_statement import (
    MAX_LISTED,
    MAX_TIME_S,
    Listed,
    TrustStatement,
    Withdrawal,
    Withdrawn,
    is_statement,
    sign_statement,
    verify_statement,
)
from schemas.reasons import Reason
from tests.builders.damage import flipped

KEY, STRANGER = (generate_private_key(SECP256R1()) for _ in range(2))
KEYS = {cose.key_id(KEY.public_key()): KEY.public_key()}
UEID = Ueid(b"\x01" + bytes(32))
FULL = TrustStatement(
    issuer="endorser",
    number=7,
    issued_s=100,
    not_after_s=200,
    policies={"fleet": Listed(3, b"\x01" * 32)},
    groups={"*": "fleet", "lab": "fleet"},
    reference_values={"golden": Listed(2, b"\x02" * 32)},
    withdrawn={UEID: Withdrawal(below=5, standing=Withdrawn.REVOKED, at_s=90, by="operator")},
    key_id=cose.key_id(KEY.public_key()),
)


def claims(**changes: object) -> dict[int, object]:
    """What is signed of the full one, with members changed by their number: ``_5=…``."""
    payload = cbor.decode(cose.parse(sign_statement(FULL, KEY), "s").unverified_payload, "s")
    assert isinstance(payload, dict)
    return {**payload, **{int(name[1:]): value for name, value in changes.items()}}


def read(content: dict[int, object]) -> TrustStatement:
    headers = {cose.HEADER_TYPE: media_types.STATEMENT}
    return verify_statement(cose.encode(cose.sign(cbor.encode(content), KEY, headers)), KEYS)


def test_what_is_signed_is_read() -> None:
    assert verify_statement(sign_statement(FULL, KEY), KEYS) == FULL
    assert read(claims()) == FULL


def test_a_stranger_and_a_changed_byte_are_refused() -> None:
    for raw in (sign_statement(FULL, STRANGER), flipped(sign_statement(FULL, KEY))):
        with pytest.raises(PeerError) as refused:
            verify_statement(raw, KEYS)
        assert refused.value.reason is Reason.OBJECT_SIGNATURE_INVALID


def test_an_object_of_another_type_is_no_statement() -> None:
    other = cose.encode(cose.sign(cbor.encode(claims()), KEY, {cose.HEADER_TYPE: media_types.POLICY}))
    with pytest.raises(PeerError) as refused:
        verify_statement(other, KEYS)
    assert refused.value.reason is Reason.OBJECT_SIGNATURE_INVALID
    assert not is_statement(other)
    assert not is_statement(b"\xff")
    assert is_statement(sign_statement(FULL, STRANGER))


LISTED = [1, bytes(32)]


@pytest.mark.parametrize(
    "changes",
    [
        {"_1": 1},
        {"_2": -1},
        {"_3": MAX_TIME_S + 1},
        {"_4": MAX_TIME_S + 1},
        {"_5": {"fleet": [1, bytes(31)]}},
        {"_5": {"fleet": [1]}},
        {"_5": {"a/b": LISTED, "fleet": LISTED}},
        {"_6": {"lab": "unlisted"}},
        {"_7": {"golden": [-1, bytes(32)]}},
        {"_7": {"": LISTED}},
        {"_8": [[UEID, 1, "lost", 1, ""]]},
        {"_8": [[UEID, 1, "revoked", MAX_TIME_S + 1, ""]]},
        {"_8": [[b"\x01", 1, "revoked", 1, ""]]},
        {"_8": [[UEID, -1, "revoked", 1, ""]]},
        {"_8": [[UEID, 1, "revoked", 1]]},
        {"_9": 1},
    ],
)
def test_what_is_malformed_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(PeerError) as refused:
        read(claims(**changes))
    assert refused.value.reason is Reason.MALFORMED


def test_a_member_that_is_missing_is_refused() -> None:
    for number in range(1, 9):
        content = claims()
        del content[number]
        with pytest.raises(PeerError) as refused:
            read(content)
        assert refused.value.reason is Reason.MALFORMED


def test_the_last_time_and_the_greatest_lists_are_read() -> None:
    assert read(claims(_3=MAX_TIME_S, _4=MAX_TIME_S)).not_after_s == MAX_TIME_S
    many = {f"s{number}": LISTED for number in range(MAX_LISTED)}
    assert len(read(claims(_7=many)).reference_values) == MAX_LISTED
    with pytest.raises(PeerError) as refused:
        read(claims(_7={**many, "one-more": LISTED}))
    assert refused.value.reason is Reason.TOO_LARGE
