"""Parses UEFI variables in a boot log: the variable itself, signature databases, boot options.

This module checks no signature, and does not know whether the bytes were measured (``binding``). It reads only the
names of a certificate.

Source: PFP 1.06, 10.2.6, "UEFI_VARIABLE_DATA"; UEFI 2.10, 3.1.3 "Load Options", 32.4.1 "Signature Database".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from schemas.boot_log.device_path import device_path_texts
from schemas.boot_log.uefi_text import GUID_BYTES, read_guid, utf16_text
from schemas.codecs.printable import printable
from schemas.codecs.reader import Reader
from schemas.errors import PeerError
from schemas.limits import MAX_LOG_ENTRY_BYTES
from schemas.reasons import Reason

GLOBAL_VARIABLE: Final = "8be4df61-93ca-11d2-aa0d-00e098032b8c"  # UEFI 2.10, 3.3
IMAGE_SECURITY_DATABASE: Final = "d719b2cb-3d3a-4596-a3bc-dad00e67656f"  # UEFI 2.10, 32.6.1
SHIM_LOCK: Final = "605dab50-e046-4300-abb6-3dd810dd8b23"  # shim's own variables

MAX_NAME_CHARACTERS: Final = 1024
MAX_SIGNATURES: Final = 4096

_LIST_HEADER_BYTES: Final = GUID_BYTES + 3 * 4
X509: Final = "x509"
_SIGNATURE_TYPES: Final[Mapping[str, str]] = {  # UEFI 2.10, 32.4.1
    "a5c059a1-94e4-4aa7-87b5-ab155c2bf072": X509,
    "c1c41626-504c-4092-aca9-41f936934328": "sha256",
    "826ca512-cf10-4ac9-b187-be01496631bd": "sha1",
    "0b6e5233-a65c-44c9-9407-d9ab83bfc8bd": "sha224",
    "ff3e5307-9fd0-48c9-85f1-8ad56c701e01": "sha384",
    "093e0fae-a6c4-4f50-9f1b-d41e2b89c19a": "sha512",
    "3c5766e8-269c-4e34-aa14-ed776e85b3b6": "rsa2048",
    "3bd2a492-96c0-4079-b420-fcf98ef103ed": "x509-sha256",
    "7076876e-80c2-4ee6-aad2-28b349a6865b": "x509-sha384",
    "446dbf63-2502-4cda-bcfa-2465d2b0fe9d": "x509-sha512",
    "4aafd29d-68df-49ee-8aa9-347d375665a7": "pkcs7",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A UEFI_VARIABLE_DATA.

    Attributes:
        vendor: GUID of the variable's name space.
        name: name of the variable.
        content: value of the variable.
        trailing: bytes after the structure; some loaders log too many (``quirks``).
    """

    vendor: str
    name: str
    content: bytes
    trailing: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """An entry of a signature database.

    Attributes:
        kind: ``x509``, ``sha256``, ...; for an unknown kind its GUID.
        owner: GUID of the party that added the entry; may be empty.
        content: certificate or digest.
    """

    kind: str
    owner: str
    content: bytes

    @property
    def text(self) -> str:
        """The certificate's subject, or the bytes in hexadecimal; safe for a terminal."""
        if self.kind == X509:
            try:
                return printable(certificate_subject(self.content))
            except PeerError:
                pass
        return f"{self.kind} {self.content[:64].hex()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOption:
    """An EFI_LOAD_OPTION, the content of ``Boot####``.

    Attributes:
        attributes: bit 0 active, bit 3 hidden.
        description: name of the option for people.
        paths: device paths as text; the first leads to the loader, the loader uses the others.
        optional: data for the loader.
    """

    attributes: int
    description: str
    paths: tuple[str, ...]
    optional: bytes


def parse_variable(data: bytes, max_trailing: int = 0) -> Variable:
    """Parses a UEFI_VARIABLE_DATA.

    Args:
        data: the event data.
        max_trailing: how many bytes may follow the structure.

    Raises:
        PeerError: ``malformed``.
    """
    reader = Reader(data, "little")
    vendor = read_guid(reader, "variable GUID")
    characters = reader.uint(8, "variable name length")
    size = reader.uint(8, "variable data length")
    if characters > MAX_NAME_CHARACTERS:
        raise PeerError(Reason.MALFORMED, f"variable: a name of {characters} characters")
    if size > MAX_LOG_ENTRY_BYTES:
        raise PeerError(Reason.MALFORMED, f"variable: {size} bytes of data")
    name = utf16_text(reader.take(2 * characters, "variable name"), "variable name", whole=True)
    content = reader.take(size, "variable data")
    if reader.remaining > max_trailing:
        reader.finish("variable")
    return Variable(vendor=vendor, name=name, content=content, trailing=reader.take(reader.remaining, "variable"))


def parse_signature_lists(data: bytes) -> tuple[Signature, ...]:
    """Parses EFI_SIGNATURE_LISTs, the content of ``PK``, ``KEK``, ``db``, ``dbx`` and ``MokList``.

    Raises:
        PeerError: ``malformed``.
    """
    found: list[Signature] = []
    reader = Reader(data, "little")
    while reader.remaining:
        kind = read_guid(reader, "signature type")
        kind = _SIGNATURE_TYPES.get(kind, kind)
        total, header, size = (reader.uint(4, f"signature {name} size") for name in ("list", "header", "entry"))
        body = total - _LIST_HEADER_BYTES - header
        if size <= GUID_BYTES or body < 0 or body % size:
            raise PeerError(Reason.MALFORMED, f"signature list: {total} bytes, header {header}, entries of {size}")
        if len(found) + body // size > MAX_SIGNATURES:
            raise PeerError(Reason.TOO_LARGE, f"signature lists: more than {MAX_SIGNATURES} entries")
        reader.take(header, "signature header")
        for _ in range(body // size):
            owner = read_guid(reader, "signature owner")
            found.append(Signature(kind=kind, owner=owner, content=reader.take(size - GUID_BYTES, "signature")))
    return tuple(found)


def parse_signature(data: bytes) -> Signature:
    """Parses the entry that allowed an image to run: an EFI_SIGNATURE_DATA, or in shim's events only the certificate.

    Raises:
        PeerError: ``malformed`` if it has no X.509 certificate.
    """
    owner = ""
    if not data.startswith(b"\x30\x82"):  # DER SEQUENCE with a length of two bytes: certificates
        reader = Reader(data, "little")
        owner = read_guid(reader, "signature owner")
        data = reader.take(reader.remaining, "signature")
    certificate_subject(data)
    return Signature(kind=X509, owner=owner, content=data)


def certificate_subject(der: bytes) -> str:
    """The subject of a certificate in the text form of RFC 4514.

    Raises:
        PeerError: ``malformed``.
    """
    try:
        return x509.load_der_x509_certificate(der).subject.rfc4514_string()
    except (ValueError, TypeError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise PeerError(Reason.MALFORMED, f"certificate: {error}") from error


def parse_load_option(data: bytes) -> LoadOption:
    """Parses the content of a ``Boot####`` variable.

    Raises:
        PeerError: ``malformed``.
    """
    reader = Reader(data, "little")
    attributes = reader.uint(4, "load option attributes")
    path_size = reader.uint(2, "load option path length")
    start = reader.position
    end = next((at for at in range(start, len(data) - 1, 2) if data[at : at + 2] == bytes(2)), None)
    if end is None:
        raise PeerError(Reason.MALFORMED, "load option: its description does not end")
    description = utf16_text(reader.take(end - start, "description"), "load option description")
    reader.take(2, "description")
    paths = device_path_texts(reader.take(path_size, "load option path"))
    optional = reader.take(reader.remaining, "load option data")
    return LoadOption(attributes=attributes, description=description, paths=paths, optional=optional)


def parse_boot_order(data: bytes) -> tuple[int, ...]:
    """Parses ``BootOrder``.

    Raises:
        PeerError: ``malformed`` for an odd length.
    """
    if len(data) % 2:
        raise PeerError(Reason.MALFORMED, f"BootOrder: {len(data)} bytes")
    return tuple(int.from_bytes(data[at : at + 2], "little") for at in range(0, len(data), 2))
