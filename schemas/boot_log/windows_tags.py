"""Parses the tagged values in ``EV_EVENT_TAG`` data, which Windows logs for PCRs 11 to 14.

A tag with bit 30 set is an aggregation: its value consists of further tagged values. Other values are not decoded.

Source: Windows SDK, ``wbcl.h`` (SIPAEVENT_*).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from schemas.codecs.reader import Reader
from schemas.errors import PeerError
from schemas.reasons import Reason

MAX_DEPTH: Final = 8
MAX_VALUES: Final = 4096

_AGGREGATION: Final = 0x40000000

TAG_NAMES: Final[Mapping[int, str]] = {
    0x40010001: "TrustBoundary",
    0x40010002: "ElamAggregation",
    0x40010003: "LoadedModuleAggregation",
    0xC0010004: "TrustPointAggregation",
    0x40010005: "KsrAggregation",
    0x40010006: "KsrSignedMeasurementAggregation",
    0x00020001: "Information",
    0x00020002: "BootCounter",
    0x00020003: "TransferControl",
    0x00020004: "ApplicationReturn",
    0x00020005: "BitlockerUnlock",
    0x00020006: "EventCounter",
    0x00020007: "CounterId",
    0x00020008: "MorBitNotCancelable",
    0x00020009: "ApplicationSvn",
    0x0002000A: "SvnChainStatus",
    0x0002000B: "MorBitApiStatus",
    0x00040001: "BootDebugging",
    0x00040002: "BootRevocationList",
    0x00050001: "OsKernelDebug",
    0x00050002: "CodeIntegrity",
    0x00050003: "TestSigning",
    0x00050004: "DataExecutionPrevention",
    0x00050005: "SafeMode",
    0x00050006: "WinPe",
    0x00050007: "PhysicalAddressExtension",
    0x00050008: "OsDevice",
    0x00050009: "SystemRoot",
    0x0005000A: "HypervisorLaunchType",
    0x0005000B: "HypervisorPath",
    0x0005000C: "HypervisorIommuPolicy",
    0x0005000D: "HypervisorDebug",
    0x0005000E: "DriverLoadPolicy",
    0x0005000F: "SiPolicy",
    0x00050010: "HypervisorMmioNxPolicy",
    0x00050011: "HypervisorMsrFilterPolicy",
    0x00050012: "VsmLaunchType",
    0x00050013: "OsRevocationList",
    0x00050020: "VsmIdkInfo",
    0x00050021: "FlightSigning",
    0x00050022: "PagefileEncryptionEnabled",
    0x00050023: "VsmIdksInfo",
    0x00050024: "HibernationDisabled",
    0x00050025: "DumpsDisabled",
    0x00050026: "DumpEncryptionEnabled",
    0x00050027: "DumpEncryptionKeyDigest",
    0x00050028: "LsaIsoConfig",
    0x00060001: "NoAuthority",
    0x00060002: "AuthorityPubKey",
    0x00070001: "FilePath",
    0x00070002: "ImageSize",
    0x00070003: "HashAlgorithmId",
    0x00070004: "AuthenticodeHash",
    0x00070005: "AuthorityIssuer",
    0x00070006: "AuthoritySerial",
    0x00070007: "ImageBase",
    0x00070008: "AuthorityPublisher",
    0x00070009: "AuthoritySha1Thumbprint",
    0x0007000A: "ImageValidated",
    0x0007000B: "ModuleSvn",
    0x00090001: "ElamKeyName",
    0x00090002: "ElamConfiguration",
    0x00090003: "ElamPolicy",
    0x00090004: "ElamMeasured",
    # Loaders of Linux use the same event type: Linux drivers/firmware/efi, systemd src/boot
    0x8F3B22EC: "LinuxInitrd",
    0x8F3B22ED: "LinuxLoadOptions",
    0xF5BC582A: "SystemdLoaderConf",
}
_PLAIN: Final = frozenset({0x8F3B22EC, 0x8F3B22ED, 0xF5BC582A})  # not aggregations, whatever their bit 30


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggedValue:
    """One value.

    Attributes:
        tag: the kind of value.
        content: the bytes of the value; of an aggregation the bytes of all its parts.
        parts: the values in an aggregation; empty for other values.
    """

    tag: int
    content: bytes
    parts: tuple["TaggedValue", ...] = ()

    @property
    def name(self) -> str:
        """The tag's name, or its number in hexadecimal."""
        return TAG_NAMES.get(self.tag, f"{self.tag:#010x}")


def parse_tagged_values(data: bytes) -> tuple[TaggedValue, ...]:
    """Parses a sequence of tagged values.

    Raises:
        PeerError: ``malformed`` for lengths that do not add up; ``too-large`` for more than ``MAX_VALUES``.
    """
    return _Parser().values(data, 0)


class _Parser:
    """Parses nested values. Owns the number of values that are still allowed."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = MAX_VALUES

    def values(self, data: bytes, depth: int) -> tuple[TaggedValue, ...]:
        reader = Reader(data, "little")
        found = []
        while reader.remaining:
            self._left -= 1
            if self._left < 0:
                raise PeerError(Reason.TOO_LARGE, f"tagged event: more than {MAX_VALUES} values")
            tag = reader.uint(4, "tag")
            content = reader.sized(4, len(data), "tagged value")
            parts: tuple[TaggedValue, ...] = ()
            if tag & _AGGREGATION and tag not in _PLAIN:
                if depth == MAX_DEPTH:
                    raise PeerError(Reason.MALFORMED, f"tagged event: nested deeper than {MAX_DEPTH}")
                parts = self.values(content, depth + 1)
            found.append(TaggedValue(tag=tag, content=content, parts=parts))
        return tuple(found)
