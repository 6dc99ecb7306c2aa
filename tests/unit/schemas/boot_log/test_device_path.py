"""Device paths as text: the forms of each node, and lengths that lie."""

import struct
import uuid

import pytest

from schemas.boot_log.device_path import MAX_NODES, device_path_text
from schemas.errors import PeerError

END = b"\x7f\xff\4\0"
GUID = uuid.UUID("7cb8bdc9-f8eb-4f34-aaea-3ee4af6516a1")


def node(node_type: int, subtype: int, body: bytes) -> bytes:
    return struct.pack("<BBH", node_type, subtype, 4 + len(body)) + body


ROOT = node(2, 1, struct.pack("<II", 0x0A0341D0, 0))
PCI = node(1, 1, bytes([3, 0x1F]))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (ROOT + PCI, "PciRoot(0x0)/Pci(0x1f,0x3)"),
        (node(2, 1, struct.pack("<II", 0x0A0841D0, 7)), "PcieRoot(0x7)"),
        (node(2, 1, struct.pack("<II", 0x00000610, 1)), "Acpi(APP0000,0x1)"),
        (node(2, 2, struct.pack("<III", 0, 0, 0) + b"VEND0001\0\0PNP0A03\0"), "AcpiEx(VEND0001,PNP0A03,0x0)"),
        (node(1, 4, GUID.bytes_le), f"VenHw({GUID})"),
        (node(1, 4, GUID.bytes_le + b"\1\2"), f"VenHw({GUID},0102)"),
        (node(3, 2, struct.pack("<HH", 1, 0)), "SCSI(1,0)"),
        (node(3, 5, b"\x0b\0"), "USB(11,0)"),
        (node(3, 0x12, struct.pack("<HHH", 1, 65535, 0)), "Sata(1,65535,0)"),
        (node(3, 0x17, struct.pack("<IQ", 1, 0x0102030405060708)), "NVMe(0x1,01-02-03-04-05-06-07-08)"),
        (node(3, 0x0B, bytes.fromhex("0cc47aff601c") + bytes(26) + b"\1"), "MAC(0cc47aff601c,1)"),
        (node(3, 0x0C, bytes([10, 0, 0, 1, 10, 0, 0, 2]) + struct.pack("<HHHB", 1, 2, 6, 1)), None),
        (node(3, 0x0D, bytes(15) + b"\1" + bytes(16) + struct.pack("<HHHB", 1, 2, 6, 1)), None),
        (node(3, 0x18, b"http://boot.example/x.efi"), "Uri(http://boot.example/x.efi)"),
        (node(4, 4, "\\EFI\\BOOT\\X.EFI\0".encode("utf-16-le")), "File(\\EFI\\BOOT\\X.EFI)"),
        (node(4, 4, "a\nb\0".encode("utf-16-le")), "File(a\\nb)"),
        (node(4, 6, GUID.bytes_le), f"FvFile({GUID})"),
        (node(4, 8, struct.pack("<IQQ", 0, 0x10, 0x20)), "Offset(0x10,0x20)"),
        (node(4, 9, struct.pack("<QQ", 1, 2) + GUID.bytes_le + b"\3\0"), f"RamDisk(0x1,0x2,3,{GUID})"),
        (node(5, 1, struct.pack("<HH", 2, 0) + b"disk\0"), "BBS(HD,disk,0x0)"),
        (node(9, 9, b"\xab"), "Path(9,9,ab)"),
        (node(1, 1, b"\1"), "Path(1,1,01)"),  # a PCI node without a device
        (node(4, 4, b"\0\xd8"), "Path(4,4,00d8)"),  # half a surrogate pair
    ],
)
def test_each_node_has_a_text(path: bytes, text: str | None) -> None:
    shown = device_path_text(path + END)
    assert shown == device_path_text(path)
    if text is None:
        assert shown.startswith("IPv")
    else:
        assert shown == text


@pytest.mark.parametrize(
    ("kind", "signature", "text"),
    [
        (2, GUID.bytes_le, f"HD(1,GPT,{GUID},0x800,0x80000)"),
        (1, b"\x78\x56\x34\x12" + bytes(12), "HD(1,MBR,0x12345678,0x800,0x80000)"),
        (0, bytes(16), f"HD(1,0,{'00' * 16},0x800,0x80000)"),
    ],
)
def test_partitions_by_the_kind_of_their_signature(kind: int, signature: bytes, text: str) -> None:
    body = struct.pack("<IQQ16sBB", 1, 0x800, 0x80000, signature, 2, kind)
    assert device_path_text(node(4, 1, body) + END) == text


def test_no_bytes_are_no_path_and_instances_are_separated() -> None:
    assert device_path_text(b"") == device_path_text(END) == ""
    assert device_path_text(PCI + node(0x7F, 1, b"") + PCI + END) == "Pci(0x1f,0x3),Pci(0x1f,0x3)"


@pytest.mark.parametrize(
    "path",
    [
        b"\1",
        b"\1\1\3\0",  # shorter than its own header
        b"\1\1\xff\0\0",
        END + b"\0",
        node(0x7F, 7, b""),
        PCI * (MAX_NODES + 1),
    ],
)
def test_lengths_that_lie_are_refused(path: bytes) -> None:
    with pytest.raises(PeerError):
        device_path_text(path)
