"""The endorser's pure part and its commands on files."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256 as SHA256_OF_CRYPTOGRAPHY
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from endorser.__main__ import main
from endorser.adapters.publisher import publication_of
from endorser.core.endorsements import (
    BACKDATED_S,
    parse_any_public,
    parse_any_ueid,
    verify_any,
)
from endorser.core.measurement_lines import parse_file_lines, parse_pcr_lines
from endorser.signed_files import statement
from runtime.keys import load_public_keys
from schemas import media_types
from schemas.codecs import cmw
from schemas.errors import ConfigError
from schemas.hashes import SHA256
from schemas.identifiers import Ueid, ueid_text
from schemas.media_types import Indicator
from schemas.messages.endorsement import Endorsement
from schemas.messages.policy import SignedPolicy
from schemas.messages.reference_values import ReferenceValues
from schemas.messages.trust_statement import TrustStatement
from schemas.topics import Topics
from schemas.tpm.pcr import parse_selection_text
from tests.builders.file_signing import file_key
from tests.builders.tpm_bytes import REAL_NAME, REAL_PUBLIC, sized

UEID = Ueid(b"\x01" + bytes(range(32)))
PCRS = "sha256 0 " + "AA" * 32 + "\nsha256 1 " + "bb" * 32 + "\nsha1 0 " + "cc" * 20 + "\n"


@pytest.fixture(name="key")
def _key(tmp_path: Path) -> Path:
    assert main(["keygen", "--out", str(tmp_path / "endorser.key")]) == 0
    return tmp_path / "endorser.key"


def verified(path: Path, key: Path) -> Endorsement | ReferenceValues | SignedPolicy:
    made = verify_any(path.read_bytes(), load_public_keys([key.with_suffix(".pub")]))
    assert not isinstance(made, TrustStatement)
    return made


@pytest.mark.parametrize("content", [UEID, ueid_text(UEID).encode(), ueid_text(UEID).encode() + b"\n"])
def test_a_ueid_is_read_as_text_or_as_bytes(content: bytes) -> None:
    assert parse_any_ueid(content) == UEID


@pytest.mark.parametrize("content", [b"", b"\x01", b"not base64url!" * 5, bytes(34)])
def test_anything_else_is_no_ueid(content: bytes) -> None:
    with pytest.raises(ConfigError):
        parse_any_ueid(content)


@pytest.mark.parametrize("content", [REAL_PUBLIC, sized(REAL_PUBLIC)])
def test_a_key_is_read_with_and_without_its_size(content: bytes) -> None:
    assert parse_any_public(content).name == REAL_NAME


def test_the_selected_pcrs_are_read() -> None:
    assert parse_pcr_lines(PCRS, parse_selection_text("sha256:1")) == {SHA256: {1: frozenset({b"\xbb" * 32})}}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (PCRS, "sha256:5"),
        ("sha256 0 aa\n", "line 1"),
        ("\nmd5 0 aa\n", "line 2"),
        ("hello", "line 1"),
    ],
)
def test_wrong_pcr_lines_are_named(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        parse_pcr_lines(text, parse_selection_text("sha256:0,1,5"))


@pytest.mark.needs("sha256sum")
def test_digests_are_read_as_sha256sum_prints_them(tmp_path: Path) -> None:
    file = tmp_path / "a file"
    file.write_bytes(b"content")
    printed = subprocess.run(["sha256sum", str(file)], check=True, capture_output=True, text=True).stdout
    assert parse_file_lines(printed) == {SHA256.digest(b"content"): str(file)}


@pytest.mark.parametrize("text", ["abc  x", "ab" * 31 + "  x", "zz" * 32 + "  x", "ab" * 32])
def test_wrong_digest_lines_are_named(text: str) -> None:
    with pytest.raises(ConfigError, match="line 1"):
        parse_file_lines(text)


def test_an_endorsement_is_signed_shown_and_goes_to_its_topic(
    tmp_path: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    public, out = tmp_path / "ak.tpmt_public", tmp_path / "device.corim"
    public.write_bytes(REAL_PUBLIC)
    arguments = ["--name", "me", "--ueid", ueid_text(UEID), "--ak-public", str(public), "--version", "7", "--days", "2"]
    assert main(["endorse", "--key", str(key), *arguments, "--out", str(out)]) == 0
    endorsement = verified(out, key)
    assert isinstance(endorsement, Endorsement)
    assert (endorsement.ueid, endorsement.version, endorsement.signer) == (UEID, 7, "me")
    assert endorsement.not_after_s - endorsement.not_before_s == 2 * 86_400 + BACKDATED_S
    assert main(["show", "--endorser-key", str(key.with_suffix(".pub")), str(out)]) == 0
    assert REAL_NAME.hex() in capsys.readouterr().out
    publication = publication_of(endorsement, out.read_bytes(), Topics())
    assert publication.topic == Topics().endorsements(UEID)
    value = cmw.unwrap(publication.payload, media_types.SIGNED_CORIM, Indicator.ENDORSEMENTS)
    assert value == out.read_bytes()
    saved = tmp_path / "as-mosquitto_sub-saves-it"
    saved.write_bytes(publication.payload)
    for command, shown in (("show", REAL_NAME.hex()), ("corim show", "verified: signed by")):
        assert main([*command.split(), "--endorser-key", str(key.with_suffix(".pub")), str(saved)]) == 0
        assert shown in capsys.readouterr().out


def test_an_endorsement_by_hand_has_a_group_and_proves_nothing(
    tmp_path: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    public, out = tmp_path / "ak.tpmt_public", tmp_path / "device.corim"
    public.write_bytes(REAL_PUBLIC)
    command = ["endorse", "--key", str(key), "--ueid", ueid_text(UEID), "--ak-public", str(public), "--out", str(out)]
    assert main([*command, "--group", "plant-7"]) == 0
    endorsement = verified(out, key)
    assert isinstance(endorsement, Endorsement)
    assert (endorsement.group, endorsement.genuine) == ("plant-7", None)
    assert main(["show", "--endorser-key", str(key.with_suffix(".pub")), str(out)]) == 0
    shown = capsys.readouterr().out
    assert "plant-7" in shown
    assert "genuine" not in shown
    assert main([*command, "--group", "x" * 65]) == 2
    assert "group" in capsys.readouterr().err


def test_reference_values_are_made_of_pcrs_and_files(tmp_path: Path, key: Path) -> None:
    pcrs, measured, out = tmp_path / "pcrs.txt", tmp_path / "program", tmp_path / "values.corim"
    pcrs.write_text(PCRS, encoding="utf-8")
    measured.write_bytes(b"content")
    listed = tmp_path / "list"
    listed.write_text("ab" * 32 + "  /usr/bin/other\n", encoding="utf-8")
    arguments = ["--name", "rack", "--pcrs", str(pcrs), "--indices", "0-1", "--files", str(measured)]
    arguments += ["--digests", str(listed), "--out", str(out)]
    assert main(["reference-values", "--key", str(key), *arguments]) == 0
    values = verified(out, key)
    assert isinstance(values, ReferenceValues)
    assert values.name == "rack"
    assert values.registers == {SHA256: {0: frozenset({b"\xaa" * 32}), 1: frozenset({b"\xbb" * 32})}}
    assert values.files == {SHA256.digest(b"content"): str(measured), b"\xab" * 32: "/usr/bin/other"}
    assert publication_of(values, b"", Topics()).topic.endswith("/reference-values/rack")


def test_keys_that_sign_files_are_given_as_keys_or_certificates(
    tmp_path: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    signer = ec.derive_private_key(5, ec.SECP256R1())
    other = ec.derive_private_key(6, ec.SECP384R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "IMA signing key")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, other.public_key(), 1, start, start + timedelta(days=1))
    certificate = builder.sign(other, SHA256_OF_CRYPTOGRAPHY())
    files = {
        "key.pem": signer.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "key.der": signer.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "certificate.pem": certificate.public_bytes(Encoding.PEM),
        "certificate.der": certificate.public_bytes(Encoding.DER),
    }
    for file, content in files.items():
        (tmp_path / file).write_bytes(content)
    out = tmp_path / "values.corim"
    keys = [str(tmp_path / file) for file in files]
    assert main(["reference-values", "--key", str(key), "--name", "x", "--ima-key", *keys, "--out", str(out)]) == 0
    values = verified(out, key)
    assert isinstance(values, ReferenceValues)
    assert values.keys == (file_key(signer), file_key(signer), file_key(other), file_key(other))
    assert main(["show", "--endorser-key", str(key.with_suffix(".pub")), str(out)]) == 0
    assert f"signs files    {file_key(other).id.hex()}" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN CERTIFICATE-----\n", bytes(9000)])
def test_what_is_no_key_that_signs_files_is_named(
    tmp_path: Path, key: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "odd.pem").write_bytes(content)
    arguments = ["--name", "x", "--ima-key", str(tmp_path / "odd.pem"), "--out", str(tmp_path / "out")]
    assert main(["reference-values", "--key", str(key), *arguments]) == 2
    assert "odd.pem" in capsys.readouterr().err


def test_a_set_has_a_number_of_keys_at_most(tmp_path: Path, key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "key.pem"
    file.write_text(file_key(ec.derive_private_key(5, ec.SECP256R1())).pem())
    arguments = ["--name", "x", "--ima-key", *[str(file)] * 17, "--out", str(tmp_path / "out")]
    assert main(["reference-values", "--key", str(key), *arguments]) == 2
    assert "the limit is 16" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["reference-values", "--name", "rack", "--out", "x"], "empty set"),
        (["reference-values", "--name", "a/b", "--out", "x"], "a/b"),
        (["reference-values", "--name", "rack", "--files", "/no/such/file", "--out", "x"], "/no/such/file"),
        (["endorse", "--ueid", "?", "--ak-public", "x", "--out", "x"], "--ueid"),
        (["endorse", "--ueid", ueid_text(UEID), "--ak-public", "/no/such/file", "--out", "x"], "/no/such/file"),
        (["endorse", "--ueid", ueid_text(UEID), "--ak-public", "x", "--version", "new", "--out", "x"], "--version"),
        (["endorse", "--ueid", ueid_text(UEID), "--ak-public", "x", "--days", "0", "--out", "x"], "--days"),
    ],
)
def test_a_wrong_command_line_is_a_configuration_error(
    key: Path, arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command, *rest = arguments
    assert main([command, "--key", str(key), *rest]) == 2
    assert complaint in capsys.readouterr().err


def test_nothing_is_shown_that_another_endorser_signed(
    tmp_path: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "values.corim"
    assert main(["reference-values", "--key", str(key), "--name", "x", "--files", __file__, "--out", str(out)]) == 0
    assert main(["keygen", "--out", str(tmp_path / "other.key")]) == 0
    assert main(["show", "--endorser-key", str(tmp_path / "other.pub"), str(out)]) == 2
    assert "object-signature-invalid" in capsys.readouterr().err


def test_a_key_is_never_overwritten(key: Path) -> None:
    assert main(["keygen", "--out", str(key)]) == 2


def test_versions_grow_by_themselves() -> None:
    automatic = statement("me", "auto", 1)
    assert automatic.version == automatic.now_s


def test_the_endorser_needs_no_tpm_library() -> None:
    program = "import sys, endorser.__main__; sys.exit('tpm2_pytss' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
