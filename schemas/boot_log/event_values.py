"""Decoded event data of a boot log, one type a kind. Each has a line of ``text`` for people.

None of it is true because it is here: see ``binding`` for what a digest covers.

Source: PFP 1.06, 10.2 and 10.4.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

from schemas.boot_log.uefi_text import guess_text, shown
from schemas.boot_log.uefi_variable import Variable
from schemas.boot_log.windows_tags import TaggedValue

_SHOWN_BYTES: Final = 64
_NUMBER_BYTES: Final = 8  # a shorter value is a number, though its bytes may be letters


@dataclass(frozen=True, slots=True, kw_only=True)
class Opaque:
    """Data that no structure is known for."""

    content: bytes

    @property
    def text(self) -> str:
        """Hexadecimal, its beginning."""
        more = f"... ({len(self.content)} bytes)" if len(self.content) > _SHOWN_BYTES else ""
        return self.content[:_SHOWN_BYTES].hex() + more


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A string: of an action, a loader, a version."""

    value: str

    @property
    def text(self) -> str:
        """The string, safe for a terminal."""
        return shown(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Separator:
    """The end of a phase, in one PCR. ``value`` is 0 or 0xFFFFFFFF; 1 announces an error."""

    value: int
    detail: bytes = b""

    @property
    def error(self) -> bool:
        """Whether measuring failed before."""
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
        """Name and size; ``boot_log_text`` knows more of what is inside."""
        return f"{shown(self.variable.name)}: {len(self.variable.content)} bytes"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLoad:
    """A UEFI_IMAGE_LOAD_EVENT. The digest is that of the image (Authenticode); nothing here is covered by it.

    Attributes:
        location, length, link_time_address: in memory.
        path: device path as text.
    """

    location: int
    length: int
    link_time_address: int
    path: str

    @property
    def text(self) -> str:
        """The path, or the place in memory where there is none."""
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
    """A UEFI_GPT_DATA: header and the entries in use."""

    disk: str
    first_usable_block: int
    last_usable_block: int
    partitions: tuple[Partition, ...]

    @property
    def text(self) -> str:
        """Disk and partition names."""
        names = ", ".join(shown(partition.name) or partition.kind for partition in self.partitions)
        return f"disk {self.disk}: {names}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FirmwareBlob:
    """Where measured firmware lies; ``description`` in the second form of the structure only."""

    base: int
    length: int
    description: str = ""

    @property
    def text(self) -> str:
        """Description and place."""
        return f"{shown(self.description)} {self.length} bytes at {self.base:#x}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class HandoffTables:
    """Configuration tables (SMBIOS, ACPI, ...): GUID and address of each."""

    tables: tuple[tuple[str, int], ...]
    description: str = ""

    @property
    def text(self) -> str:
        """Description and GUIDs."""
        listed = ", ".join(f"{guid} at {address:#x}" for guid, address in self.tables)
        return f"{shown(self.description)} {listed}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggedEvent:
    """Tagged values: of Windows, of the Linux EFI stub, of systemd-boot."""

    values: tuple[TaggedValue, ...]

    @property
    def text(self) -> str:
        """Names and the beginning of each value."""
        return ", ".join(_tagged_text(value) for value in self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecId:
    """Entry 0: the profile's version, and data of the vendor. ``records`` reads its algorithms."""

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
    """The locality of TPM2_Startup: PCR 0 starts with it."""

    locality: int

    @property
    def text(self) -> str:
        """The locality."""
        return f"startup locality {self.locality}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceManifest:
    """Where a reference manifest for the platform is: a BIOS integrity measurement or SP800-155 event.

    Attributes:
        vendor_id: IANA enterprise number of the platform's manufacturer.
        manifest: GUID of the reference manifest.
        rest: names and locators of the second and third forms, not taken apart.
    """

    signature: str
    vendor_id: int
    manifest: str
    rest: bytes

    @property
    def text(self) -> str:
        """Which manifest."""
        return f"{self.signature}: manifest {self.manifest} of vendor {self.vendor_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSecurity:
    """A measurement that a device gave of itself by SPDM (DEVICE_SECURITY_EVENT_DATA and its second form).

    Attributes:
        version: of the structure.
        device_type: 1 PCI, 2 USB.
        auth_state: 0 authenticated; None in the first form, which does not say.
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
        """Kind of device, whether it was authenticated, where it is."""
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
    return f"{value.name}={shown(text) if text else value.content[:32].hex()}"
