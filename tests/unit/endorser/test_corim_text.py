"""``endorser corim show``: ours and other tools' CoRIMs, verified or loudly not."""

import json
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from endorser.__main__ import main
from endorser.core.corim_text import UNVERIFIED, describe_corim, text_of
from schemas import media_types
from schemas.codecs import cbor, cmw, cose
from schemas.errors import PeerError
from schemas.hashes import SHA256
from schemas.identifiers import ueid_text
from schemas.media_types import Indicator
from schemas.messages.endorsement import sign_endorsement
from schemas.messages.reference_values import Outgoing, ReferenceValues, sign_reference_values
from tests.builders.file_signing import file_key
from tests.worlds.device import FakeDevice, make_endorsement

KEY, OTHER = (ec.derive_private_key(each, ec.SECP256R1()) for each in (51, 52))
KEYS = {cose.key_id(KEY.public_key()): KEY.public_key()}
VALUES = ReferenceValues(
    name="golden",
    version=7,
    signer="me",
    not_before_s=0,
    not_after_s=86_400,
    registers={SHA256: {4: frozenset({b"\x04" * 32, b"\x05" * 32})}},
    files={bytes([each]) * 32: f"/usr/bin/{each}" for each in range(30)},
    keys=(file_key(KEY),),
    outgoing=Outgoing(until_s=3600, files={b"\xff" * 32: "/usr/bin/old"}),
)


def test_a_verified_set_is_shown() -> None:
    text = text_of(describe_corim(sign_reference_values(VALUES, KEY), KEYS))
    assert text.startswith(f"verified: signed by key {cose.key_id(KEY.public_key()).hex()}\n")
    assert UNVERIFIED not in text
    for expected in (
        "golden",
        "version 7",
        "me",
        "1970-01-02T00:00:00",
        "04" * 32,
        "05" * 32,
        "30",
        "/usr/bin/0",
        "and 20 more",
    ):
        assert expected in text
    assert "OUTGOING: acceptable until 1970-01-01T01:00:00" in text
    assert "/usr/bin/old" in text


def test_an_endorsement_is_shown_by_its_ueid() -> None:
    device = FakeDevice()
    raw = sign_endorsement(make_endorsement(device.ueid, device.public), device.raw_public, KEY)
    text = text_of(describe_corim(raw, {}))
    assert f"UEID {ueid_text(device.ueid)}" in text
    assert "attestation keys" in text


def test_without_a_key_it_says_first_and_last_that_nothing_is_verified() -> None:
    lines = text_of(describe_corim(sign_reference_values(VALUES, OTHER), {})).splitlines()
    assert lines[0] == lines[-1] == UNVERIFIED


def test_another_key_is_refused() -> None:
    with pytest.raises(PeerError):
        describe_corim(sign_reference_values(VALUES, OTHER), KEYS)


def test_it_is_shown_as_it_is_on_the_broker() -> None:
    record = cmw.wrap(media_types.SIGNED_CORIM, sign_reference_values(VALUES, KEY), Indicator.REFERENCE_VALUES)
    assert describe_corim(record, KEYS)["verified"] is True


def foreign() -> dict[int, Any]:
    """The example of integrity registers in the draft, in essence."""
    comid = {
        1: {0: bytes(16)},
        2: [{0: "ACME Inc.", 1: cbor2.CBORTag(32, "https://acme.example"), 2: [0]}],
        4: {
            0: [
                [
                    {0: {0: cbor2.CBORTag(37, bytes(16)), 1: "ACME Inc.", 2: "ACME RoadRunner", 3: 1}},
                    [
                        {1: {14: {0: [[1, bytes(32)], ["my-alg-id", b"\xde\xad"]], "my-ir": [[1, bytes(32)]]}}},
                        {0: cbor2.CBORTag(111, b"x"), 1: {1: cbor2.CBORTag(552, 3), 8: "serial\x1b[31m"}},
                        {0: "fw", 1: {2: [[1, b"\x07" * 32]], 13: [cbor2.CBORTag(557, [1, bytes(32)])]}},
                    ],
                ]
            ],
            10: [[[], []]],
        },
    }
    return {
        0: bytes(16),
        1: [cbor2.CBORTag(506, cbor2.dumps(comid)), cbor2.CBORTag(505, b"")],
        3: cbor2.CBORTag(111, b"x"),
    }


def test_an_unsigned_corim_of_another_tool_is_shown_as_far_as_it_parses() -> None:
    text = text_of(describe_corim(cbor2.dumps(cbor2.CBORTag(501, foreign())), {}))
    for expected in ("ACME RoadRunner", "my-ir", "my-alg-id:dead", "CoSWID", "key thumbprint", "552(3)", "conditional"):
        assert expected in text
    assert "\x1b" not in text


def test_a_foreign_corim_signed_with_our_kind_of_key_is_verified_and_yet_not_ours() -> None:
    payload = cbor2.dumps(cbor2.CBORTag(501, foreign()))
    headers = {cose.HEADER_CONTENT_TYPE: media_types.CORIM, 8: cbor.encode({0: {0: "ACME"}})}
    shown = describe_corim(cose.encode(cose.sign(payload, KEY, headers)), KEYS)
    assert shown["verified"] is True
    assert "verifiers of attestream refuse it" in shown["refused"]
    assert shown["signer"] == "ACME"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00",
        b"hello",
        cbor2.dumps([1, 2]),
        cbor2.dumps(cbor2.CBORTag(18, 5)),
        cbor2.dumps(cbor2.CBORTag(501, 5)),
    ],
)
def test_what_is_no_corim_is_refused(raw: bytes) -> None:
    with pytest.raises(PeerError):
        describe_corim(raw, {})


def test_the_command_prints_text_or_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, public = tmp_path / "golden.corim", tmp_path / "endorser.pub"
    path.write_bytes(sign_reference_values(VALUES, KEY))
    public.write_bytes(KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    assert main(["corim", "show", str(path)]) == 0
    assert UNVERIFIED in capsys.readouterr().out
    assert main(["corim", "show", str(path), "--json", "--endorser-key", str(public)]) == 0
    assert json.loads(capsys.readouterr().out)["verified"] is True
    path.write_bytes(b"no")
    assert main(["corim", "show", str(path)]) == 2
