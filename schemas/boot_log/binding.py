"""Finds the event data that a PCR vouches for.

An extended digest vouches for the bytes that hash to it, and for nothing else in the event: not for its type, nor for
the address of an image or the file it came from. :func:`bind` computes which bytes these are; the event's type alone
does not tell.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, TypeAlias

from schemas.boot_log.quirks import Part, measured_parts
from schemas.boot_log.records import BootEvent
from schemas.hashes import BY_TPM_ID, HashAlgorithm


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticatedData:
    """Event data whose digests cover some of the bytes. Only :func:`bind` makes one.

    The measured bytes are authentic once a replay has reproduced a quote over the event's PCR.

    Attributes:
        part: which bytes were measured.
        measured: the measured bytes.
        unverified_data: all event data.
    """

    part: Part
    measured: bytes
    unverified_data: bytes

    @property
    def whole(self) -> bool:
        """Whether all event data were measured. Then everything decoded from them is authentic."""
        return self.part is Part.WHOLE


@dataclass(frozen=True, slots=True, kw_only=True)
class DescriptiveData:
    """Event data that no digest covers. Anyone may have written them: use them only for display and as a hint.

    Attributes:
        unverified_data: all event data.
    """

    unverified_data: bytes


Binding: TypeAlias = AuthenticatedData | DescriptiveData

_NOTHING: Final = b""


def bind(event: BootEvent, banks: Collection[HashAlgorithm]) -> Binding:
    """Compares event data with the event's digests.

    Args:
        event: an event of any log.
        banks: the banks in which the event's PCR was quoted; all of them must agree. An event without a digest for one
            of these banks did not extend it, so its data are not authentic.
    """
    digests = dict(event.digests)
    wanted = [(bank, digests.get(bank.tpm_id, _NOTHING)) for bank in banks]
    if event.extended and wanted:
        for part, measured in measured_parts(event.event_type, event.data):
            if all(bank.digest(measured) == digest for bank, digest in wanted):
                return AuthenticatedData(part=part, measured=measured, unverified_data=event.data)
    return DescriptiveData(unverified_data=event.data)


def hashable_banks(event: BootEvent) -> tuple[HashAlgorithm, ...]:
    """The banks of an event's digests, without unknown algorithms; for logs that are read without a quote."""
    return tuple(BY_TPM_ID[tpm_id] for tpm_id, _ in event.digests if tpm_id in BY_TPM_ID)
