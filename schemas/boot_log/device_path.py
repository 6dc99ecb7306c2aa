r"""Writes UEFI device paths as text.

Every path whose node lengths add up has a text. A node that is unknown, or whose body does not fit its type, is written
as ``Path(type,subtype,hex)``. The text forms are those of UEFI 2.10, 10.6.1.6, as libefivar and tpm2-tools print them:
bus and target numbers are decimal, GUIDs lower case, files ``File(\...)``. This module does not parse text or resolve
paths. In a boot log no digest covers a device path.

Source: UEFI 2.10, 10.3, "Device Path Nodes". All integers little-endian.
"""

import ipaddress
import struct
from collections.abc import Callable, Mapping
from typing import Final

from schemas.boot_log.uefi_text import guid_text, utf16_text
from schemas.codecs.printable import printable
from schemas.codecs.reader import Reader
from schemas.errors import PeerError
from schemas.reasons import Reason

MAX_NODES: Final = 256  # of one path
MAX_PATHS: Final = 64

_END: Final = 0x7F
_END_INSTANCE, _END_ENTIRE = 0x01, 0xFF
_HEADER_BYTES: Final = 4


def device_path_text(raw: bytes) -> str:
    """Writes one path as text, its instances separated by commas. Empty for no bytes.

    Args:
        raw: the nodes. The end node may be missing at the end of the data, because some firmware logs none.

    Raises:
        PeerError: ``malformed`` for lengths that do not add up, too many nodes, or bytes after the end node.
    """
    reader = Reader(raw, "little")
    text = _read_path(reader)
    reader.finish("device path")
    return text


def device_path_texts(raw: bytes) -> tuple[str, ...]:
    """Writes consecutive paths as text, each with its end node, as in a load option.

    Raises:
        PeerError: ``malformed``, as :func:`device_path_text`, or for too many paths.
    """
    reader = Reader(raw, "little")
    texts: list[str] = []
    while reader.remaining:
        if len(texts) == MAX_PATHS:
            raise PeerError(Reason.MALFORMED, f"device paths: more than {MAX_PATHS}")
        texts.append(_read_path(reader))
    return tuple(texts)


def _read_path(reader: Reader) -> str:
    """The text of the nodes up to an end node, or to the end of the data."""
    instances: list[list[str]] = [[]]
    for _ in range(MAX_NODES):
        if not reader.remaining:
            break
        node_type, subtype = reader.uint(1, "device path type"), reader.uint(1, "device path subtype")
        length = reader.uint(2, "device path length")
        if length < _HEADER_BYTES:
            raise PeerError(Reason.MALFORMED, f"device path: a node of {length} bytes")
        body = reader.take(length - _HEADER_BYTES, "device path node")
        if node_type & 0x7F == _END and subtype == _END_ENTIRE:  # bit 7: an old form of the end node (EFI 1.02)
            break
        if node_type != _END:
            instances[-1].append(_node_text(node_type, subtype, body))
        elif subtype == _END_INSTANCE:
            instances.append([])
        else:
            raise PeerError(Reason.MALFORMED, f"device path: end node of subtype {subtype:#04x}")
    else:
        raise PeerError(Reason.MALFORMED, f"device path: more than {MAX_NODES} nodes")
    return ",".join("/".join(nodes) for nodes in instances)


def _node_text(node_type: int, subtype: int, body: bytes) -> str:
    form = _FORMS.get((node_type, subtype))
    if form is not None:
        try:
            return form(body)
        except (struct.error, PeerError, ValueError):
            pass  # the body does not fit the type
    return f"Path({node_type},{subtype},{body.hex()})"


def _fields(layout: str, text: str) -> Callable[[bytes], str]:
    """The form of a body with exactly this layout; ``text`` refers to its fields by position."""
    parser = struct.Struct("<" + layout)

    def form(body: bytes) -> str:
        return text.format(*parser.unpack(body))

    return form


def _vendor(name: str) -> Callable[[bytes], str]:
    def form(body: bytes) -> str:
        data = body[16:]
        return f"{name}({guid_text(body[:16])}{',' + data.hex() if data else ''})"

    return form


def _guid(name: str) -> Callable[[bytes], str]:
    def form(body: bytes) -> str:
        return f"{name}({guid_text(body)})"

    return form


_ACPI_NAMES: Final = {  # PNP ids, compressed as in ACPI 6.4, 19.3.4: number, then "PNP" as 0x41D0
    0x0A0341D0: "PciRoot",
    0x0A0841D0: "PcieRoot",
    0x060441D0: "Floppy",
    0x030141D0: "Keyboard",
    0x050141D0: "Serial",
    0x040141D0: "ParallelPort",
}


def _eisa_text(identity: int) -> str:
    letters = "".join(chr(ord("@") + (identity >> shift & 0x1F)) for shift in (10, 5, 0))
    return f"{letters}{identity >> 16:04X}"


def _acpi(body: bytes) -> str:
    identity, uid = struct.unpack("<II", body)
    name = _ACPI_NAMES.get(identity)
    return f"{name}({uid:#x})" if name else f"Acpi({printable(_eisa_text(identity))},{uid:#x})"


def _acpi_extended(body: bytes) -> str:
    identity, uid, compatible = struct.unpack_from("<III", body)
    texts = body[12:].split(b"\0")
    hid_text, uid_text, cid_text = (printable(text.decode("ascii")) for text in texts[:-1])
    hid, cid = hid_text or printable(_eisa_text(identity)), cid_text or printable(_eisa_text(compatible))
    return f"AcpiEx({hid},{cid},{uid_text or hex(uid)})"


def _ipv4(body: bytes) -> str:
    local, remote = ipaddress.IPv4Address(body[:4]), ipaddress.IPv4Address(body[4:8])
    local_port, remote_port, protocol, static = struct.unpack_from("<HHHB", body, 8)
    origin = "Static" if static else "DHCP"
    return f"IPv4({local}:{local_port},{remote}:{remote_port},{protocol:#x},{origin})"


def _ipv6(body: bytes) -> str:
    local, remote = ipaddress.IPv6Address(body[:16]), ipaddress.IPv6Address(body[16:32])
    local_port, remote_port, protocol, origin = struct.unpack_from("<HHHB", body, 32)
    return f"IPv6([{local}]:{local_port},[{remote}]:{remote_port},{protocol:#x},{origin:#x})"


def _mac(body: bytes) -> str:
    address, kind = struct.unpack("<32sB", body)
    size = 6 if kind in {0, 1} else 32  # RFC 3232 interface types: reserved and Ethernet
    return f"MAC({address[:size].hex()},{kind})"


def _hard_drive(body: bytes) -> str:
    number, start, size, signature, _, kind = struct.unpack("<IQQ16sBB", body)
    match kind:
        case 1:
            return f"HD({number},MBR,{int.from_bytes(signature[:4], 'little'):#x},{start:#x},{size:#x})"
        case 2:
            return f"HD({number},GPT,{guid_text(signature)},{start:#x},{size:#x})"
        case _:
            return f"HD({number},{kind},{signature.hex()},{start:#x},{size:#x})"


def _file(body: bytes) -> str:
    return f"File({printable(utf16_text(body, 'file path'))})"


def _uri(body: bytes) -> str:
    return f"Uri({printable(body.decode('utf-8'))})"


def _nvme(body: bytes) -> str:
    namespace, identifier = struct.unpack("<I8s", body)
    return f"NVMe({namespace:#x},{identifier[::-1].hex('-')})"


def _ram_disk(body: bytes) -> str:
    start, end, kind, instance = struct.unpack("<QQ16sH", body)
    return f"RamDisk({start:#x},{end:#x},{instance},{guid_text(kind)})"


def _boot_specification(body: bytes) -> str:
    kind, status = struct.unpack_from("<HH", body)
    name = {1: "Floppy", 2: "HD", 3: "CDROM", 4: "PCMCIA", 5: "USB", 6: "Network", 0x80: "BEV"}.get(kind, f"{kind:#x}")
    return f"BBS({name},{printable(body[4:].partition(bytes(1))[0].decode('latin-1'))},{status:#x})"


_FORMS: Final[Mapping[tuple[int, int], Callable[[bytes], str]]] = {
    (0x01, 0x01): _fields("BB", "Pci({1:#x},{0:#x})"),
    (0x01, 0x02): _fields("B", "PcCard({0:#x})"),
    (0x01, 0x03): _fields("IQQ", "MemoryMapped({0},{1:#x},{2:#x})"),
    (0x01, 0x04): _vendor("VenHw"),
    (0x01, 0x05): _fields("I", "Ctrl({0:#x})"),
    (0x01, 0x06): _fields("BQ", "BMC({0},{1:#x})"),
    (0x02, 0x01): _acpi,
    (0x02, 0x02): _acpi_extended,
    (0x02, 0x03): lambda body: f"AcpiAdr({','.join(f'{n:#x}' for (n,) in struct.iter_unpack('<I', body))})",
    (0x03, 0x01): _fields("BBH", "Ata({0},{1},{2})"),
    (0x03, 0x02): _fields("HH", "SCSI({0},{1})"),
    (0x03, 0x03): _fields("IQQ", "Fibre({1:#x},{2:#x})"),
    (0x03, 0x05): _fields("BB", "USB({0},{1})"),
    (0x03, 0x0A): _vendor("VenMsg"),
    (0x03, 0x0B): _mac,
    (0x03, 0x0C): _ipv4,
    (0x03, 0x0D): _ipv6,
    (0x03, 0x0F): _fields("HHBBB", "UsbClass({0:#x},{1:#x},{2:#x},{3:#x},{4:#x})"),
    (0x03, 0x11): _fields("B", "Unit({0})"),
    (0x03, 0x12): _fields("HHH", "Sata({0},{1},{2})"),
    (0x03, 0x14): _fields("H", "Vlan({0})"),
    (0x03, 0x17): _nvme,
    (0x03, 0x18): _uri,
    (0x03, 0x19): _fields("BB", "UFS({0},{1})"),
    (0x03, 0x1A): _fields("B", "SD({0})"),
    (0x03, 0x1D): _fields("B", "eMMC({0})"),
    (0x04, 0x01): _hard_drive,
    (0x04, 0x02): _fields("IQQ", "CDROM({0},{1:#x},{2:#x})"),
    (0x04, 0x03): _vendor("VenMedia"),
    (0x04, 0x04): _file,
    (0x04, 0x05): _guid("Media"),
    (0x04, 0x06): _guid("FvFile"),
    (0x04, 0x07): _guid("FvVol"),
    (0x04, 0x08): _fields("IQQ", "Offset({1:#x},{2:#x})"),
    (0x04, 0x09): _ram_disk,
    (0x05, 0x01): _boot_specification,
}
