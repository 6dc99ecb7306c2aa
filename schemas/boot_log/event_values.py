"""Decoded event data of a boot log, one class for each kind. ``text`` is one line for people, safe for a terminal.

These are unverified: ``binding`` finds the bytes that a digest covers.

Source: PFP 1.06, 10.2 and 10.4.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

from schemas.boot_log.uefi_text import guess_text
from schemas.boot_log.uefi_variable import Variable
from schemas.boot_log.windows_tags import TaggedValue
from schemas.codecs.printable import printable

_SHOWN_BYTES: Final = 64
_NUMBER_BYTES: Final = 8  # a value up to this size is a number, even if its bytes are letters


@dataclass(frozen=True, slots=True, kw_only=True)
class Opaque:
    """Data of unknown structure."""

    content: bytes

    @property
    def text(self) -> str:
        """The first bytes in hexadecimal."""
        more = f"... ({len(self.content)} bytes)" if len(self.content) > _SHOWN_BYTES else ""
        return self.content[:_SHOWN_BYTES].hex() + more


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A string, for instance an action, a loader's command or a version."""

    value: str

    @property
    def text(self) -> str:
        """The string, safe for a terminal."""
        return printable(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Separator:
    """The end of a boot phase in one PCR. ``value`` is 0 or 0xFFFFFFFF, or 1 after an error."""

    value: int
    detail: bytes = b""

    @property
    def error(self) -> bool:
        """Whether the firmware reports that a measurement failed."""
        return self.value == 1

    @property
    def text(self) -> str:
        """The value."""
        return f"separator {self.value:#010x}" + (" (error)" if self.error else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableEvent:
    """A UEFI variable."""

    variable: Variable

    @property
    def text(self) -> str:
        """Name and size; ``schemas.text.boot_log`` also decodes the content."""
        return f"{printable(self.variable.name)}: {len(self.variable.content)} bytes"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLoad:
    """A UEFI_IMAGE_LOAD_EVENT. The digest is the image's (Authenticode) and covers none of these fields.

    Attributes:
        location, length, link_time_address: of the image in memory.
        path: device path of the image as text.
    """

    location: int
    length: int
    link_time_address: int
    path: str

    @property
    def text(self) -> str:
        """The path; without one, the place in memory."""
        return self.path or (f"image of {self.length} bytes at {self.location:#x}" if self.length else "image")


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """An entry of a GUID partition table."""

    kind: str
    identity: str
    first_block: int
    last_block: int
    attributes: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionTable:
    """A UEFI_GPT_DATA: the header and the used entries of a partition table."""

    disk: str
    first_usable_block: int
    last_usable_block: int
    partitions: tuple[Partition, ...]

    @property
    def text(self) -> str:
        """Disk and partition names."""
        names = ", ".join(printable(partition.name) or partition.kind for partition in self.partitions)
        return f"disk {self.disk}: {names}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FirmwareBlob:
    """Address and size of measured firmware. Only the second form of the structure has a ``description``."""

    base: int
    length: int
    description: str = ""

    @property
    def text(self) -> str:
        """Description, size and address."""
        return f"{printable(self.description)} {self.length} bytes at {self.base:#x}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class HandoffTables:
    """Configuration tables (SMBIOS, ACPI, ...): GUID and address of each."""

    tables: tuple[tuple[str, int], ...]
    description: str = ""

    @property
    def text(self) -> str:
        """Description and GUIDs."""
        listed = ", ".join(f"{guid} at {address:#x}" for guid, address in self.tables)
        return f"{printable(self.description)} {listed}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggedEvent:
    """Tagged values, as Windows, the Linux EFI stub and systemd-boot log them."""

    values: tuple[TaggedValue, ...]

    @property
    def text(self) -> str:
        """Names and the beginning of each value."""
        return ", ".join(_tagged_text(value) for value in self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecId:
    """Entry 0: version of the profile, and data of the vendor. ``records`` reads its algorithms."""

    version: str
    platform_class: int
    vendor_data: bytes

    @property
    def text(self) -> str:
        """Version, and the vendor's bytes if any."""
        vendor = f", vendor data {self.vendor_data.hex()}" if self.vendor_data else ""
        return f"Spec ID {self.version}{vendor}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartupLocality:
    """The locality of TPM2_Startup, which is the initial value of PCR 0."""

    locality: int

    @property
    def text(self) -> str:
        """The locality."""
        return f"startup locality {self.locality}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceManifest:
    """Refers to a reference manifest of the platform: a BIOS integrity measurement or SP800-155 event.

    Attributes:
        signature: name of the structure, which is its first 16 bytes.
        vendor_id: IANA enterprise number of the platform's manufacturer.
        manifest: GUID of the reference manifest.
        rest: the remaining bytes, not decoded: names and locators in the second and third forms.
    """

    signature: str
    vendor_id: int
    manifest: str
    rest: bytes

    @property
    def text(self) -> str:
        """Structure, manifest and vendor."""
        return f"{self.signature}: manifest {self.manifest} of vendor {self.vendor_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSecurity:
    """A measurement that a device reported about itself by SPDM (DEVICE_SECURITY_EVENT_DATA and its second form).

    Attributes:
        version: version of the structure.
        device_type: 1 PCI, 2 USB.
        auth_state: 0 if the device was authenticated; None in the first form, which does not have the field.
        path: device path as text; empty in the first form.
        content: measurement block and device context.
    """

    version: int
    device_type: int
    auth_state: int | None
    path: str
    content: bytes

    @property
    def text(self) -> str:
        """Type of the device, authentication state, path."""
        state = "" if self.auth_state is None else f", authentication state {self.auth_state}"
        return f"SPDM device of type {self.device_type}{state} {self.path}".rstrip()


EventData: TypeAlias = (
    Opaque
    | Text
    | Separator
    | VariableEvent
    | ImageLoad
    | PartitionTable
    | FirmwareBlob
    | HandoffTables
    | TaggedEvent
    | SpecId
    | StartupLocality
    | ReferenceManifest
    | DeviceSecurity
)


def _tagged_text(value: TaggedValue) -> str:
    if value.parts:
        return f"{value.name}[{', '.join(_tagged_text(part) for part in value.parts)}]"
    text = guess_text(value.content) if len(value.content) > _NUMBER_BYTES else None
    return f"{value.name}={printable(text) if text else value.content[:32].hex()}"
