"""Which event data a PCR vouches for.

A digest that was extended vouches for the bytes that hash to it, and for nothing else in the event: not for its type,
not for where in memory an image was or which file it came from. :func:`bind` computes the difference; nothing assumes
it from the event's type.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, TypeAlias

from schemas.boot_log.quirks import Part, measured_parts
from schemas.boot_log.records import BootEvent
from schemas.hashes import BY_TPM_ID, HashAlgorithm


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticatedData:
    """Event data of which some bytes are what the event's digests are of. Made by :func:`bind` only.

    They are authentic where the PCR is: after a replay that reproduced a quote over it.

    Attributes:
        part: which bytes.
        measured: these bytes.
        unverified_data: all event data.
    """

    part: Part
    measured: bytes
    unverified_data: bytes

    @property
    def whole(self) -> bool:
        """Whether all event data are authentic, so that everything decoded from them is."""
        return self.part is Part.WHOLE


@dataclass(frozen=True, slots=True, kw_only=True)
class DescriptiveData:
    """Event data that no digest covers: for people, and for finding a reference value. Anyone may have written them.

    Attributes:
        unverified_data: all event data.
    """

    unverified_data: bytes


Binding: TypeAlias = AuthenticatedData | DescriptiveData

_NOTHING: Final = b""


def bind(event: BootEvent, banks: Collection[HashAlgorithm]) -> Binding:
    """Compares event data with the event's digests.

    Args:
        event: of any log.
        banks: those that must agree: the banks in which the event's PCR was quoted. An event that lacks a digest for
            one of them did not extend it, and is not authentic there.
    """
    digests = dict(event.digests)
    wanted = [(bank, digests.get(bank.tpm_id, _NOTHING)) for bank in banks]
    if event.extended and wanted:
        for part, measured in measured_parts(event.event_type, event.data):
            if all(bank.digest(measured) == digest for bank, digest in wanted):
                return AuthenticatedData(part=part, measured=measured, unverified_data=event.data)
    return DescriptiveData(unverified_data=event.data)


def hashable_banks(event: BootEvent) -> tuple[HashAlgorithm, ...]:
    """The banks of an event's digests, those of unknown algorithms left out; for logs looked at without a quote."""
    return tuple(BY_TPM_ID[tpm_id] for tpm_id, _ in event.digests if tpm_id in BY_TPM_ID)
