"""UEFI variables in boot logs: the variable, signature databases, boot options."""

import datetime as dt
import struct
import uuid

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from schemas.boot_log.device_path import MAX_PATHS
from schemas.boot_log.uefi_variable import (
    GLOBAL_VARIABLE,
    MAX_SIGNATURES,
    certificate_subject,
    parse_boot_order,
    parse_load_option,
    parse_signature,
    parse_signature_lists,
    parse_variable,
)
from schemas.errors import PeerError
from tests.builders.log_bytes import uefi_variable

X509_LIST = uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072").bytes_le
SHA256_LIST = uuid.UUID("c1c41626-504c-4092-aca9-41f936934328").bytes_le
OWNER = uuid.UUID("77fa9abd-0359-4d32-bd60-28f4e78f784b")


def certificate(name: str) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(start).not_valid_after(start + dt.timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


DER = certificate("boot authority") + b""


def signature_list(kind: bytes, *contents: bytes, header: bytes = b"") -> bytes:
    size = 16 + len(contents[0]) if contents else 48
    entries = b"".join(OWNER.bytes_le + content for content in contents)
    return kind + struct.pack("<III", 28 + len(header) + len(entries), len(header), size) + header + entries


def test_a_variable_is_its_guid_name_and_content() -> None:
    variable = parse_variable(uefi_variable("SecureBoot", b"\1"))
    assert (variable.vendor, variable.name, variable.content) == (GLOBAL_VARIABLE, "SecureBoot", b"\1")


def test_a_name_is_taken_whole_so_that_none_can_pass_for_another() -> None:
    assert parse_variable(uefi_variable("SecureBoot\0x", b"")).name == "SecureBoot\0x"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        uefi_variable("db", b"x")[:-1],
        uefi_variable("db", b"x") + b"\0",
        bytes(16) + struct.pack("<QQ", 1 << 63, 0),
        bytes(16) + struct.pack("<QQ", 0, 1 << 63),
        bytes(16) + struct.pack("<QQ", 1, 0) + b"\0\xd8",
    ],
)
def test_a_variable_that_does_not_add_up_is_refused(data: bytes) -> None:
    with pytest.raises(PeerError):
        parse_variable(data)


def test_bytes_after_a_variable_are_kept_apart_where_they_are_allowed() -> None:
    assert parse_variable(uefi_variable("Shim", b"x") + b"junk", 4).trailing == b"junk"


def test_a_signature_database_lists_certificates_and_hashes() -> None:
    lists = signature_list(X509_LIST, DER) + signature_list(SHA256_LIST, bytes(32), b"\1" * 32, header=b"h")
    found = parse_signature_lists(lists)
    assert [entry.text for entry in found] == ["CN=boot authority", "sha256 " + "00" * 32, "sha256 " + "01" * 32]
    assert {entry.owner for entry in found} == {str(OWNER)}
    assert parse_signature_lists(signature_list(bytes(16), b"x"))[0].kind == str(uuid.UUID(int=0))


@pytest.mark.parametrize(
    "data",
    [
        SHA256_LIST,
        SHA256_LIST + struct.pack("<III", 28, 0, 0),
        SHA256_LIST + struct.pack("<III", 27, 0, 48),
        SHA256_LIST + struct.pack("<III", 29, 0, 48) + b"\0",
        SHA256_LIST + struct.pack("<III", 76, 0, 48) + bytes(47),
        SHA256_LIST + struct.pack("<III", 28, 0xFFFFFFFF, 48),
        signature_list(SHA256_LIST, *[b"x"] * (MAX_SIGNATURES + 1)),
    ],
)
def test_a_signature_list_that_does_not_add_up_is_refused(data: bytes) -> None:
    with pytest.raises(PeerError):
        parse_signature_lists(data)


def test_an_authority_is_a_certificate_with_or_without_its_owner() -> None:
    assert parse_signature(OWNER.bytes_le + DER).owner == str(OWNER)
    assert parse_signature(DER).text == "CN=boot authority"
    for data in (b"", OWNER.bytes_le, OWNER.bytes_le + DER[:-1], b"\x30\x82\xff\xff"):
        with pytest.raises(PeerError):
            parse_signature(data)


def test_a_name_in_a_certificate_may_hold_anything_and_its_text_may_not() -> None:
    hostile = certificate("a\n\x1b[2Jb")
    assert parse_signature(hostile).text == "CN=a\\n\\x1b[2Jb"


def test_the_text_of_a_broken_certificate_is_its_bytes() -> None:
    (entry,) = parse_signature_lists(signature_list(X509_LIST, b"broken"))
    assert entry.text == "x509 " + b"broken".hex()
    with pytest.raises(PeerError):
        certificate_subject(b"broken")


PATHS = struct.pack("<IHH", 1, 4 * (MAX_PATHS + 1), 0) + b"\x7f\xff\4\0" * (MAX_PATHS + 1)


def test_a_boot_option_has_a_description_and_a_path() -> None:
    paths = bytes.fromhex("0101060003017fff04000101060004017fff0400")
    option = parse_load_option(struct.pack("<IH", 1, len(paths)) + "Disk\0".encode("utf-16-le") + paths + b"extra")
    assert (option.attributes, option.description, option.optional) == (1, "Disk", b"extra")
    assert option.paths == ("Pci(0x1,0x3)", "Pci(0x1,0x4)")


@pytest.mark.parametrize("data", [b"", bytes(5), b"\1\0\0\0\0\0x\0", b"\1\0\0\0\1\0\0\0", PATHS])
def test_a_boot_option_that_does_not_add_up_is_refused(data: bytes) -> None:
    with pytest.raises(PeerError):
        parse_load_option(data)


def test_the_boot_order_is_a_list_of_numbers() -> None:
    assert parse_boot_order(b"\3\0\2\0\0\1") == (3, 2, 0x100)
    with pytest.raises(PeerError):
        parse_boot_order(b"\3")
