"""What each PCR of a PC Client TPM is: the one table of their properties.

Source: TCG PC Client Platform TPM Profile (PTP) for TPM 2.0, "PCR Attributes" and "PCR Initial and Reset Values". The
TPM 2.0 reference implementation has the same table (``PCR.c``, ``s_initAttributes``).

A PCR that the operating system can reset holds no history. After a reset, the same programs can extend the same digests
again, in any order and number. Its log therefore speaks only for the moment of the quote, and the policy must state
that this is meant (``resettable = true``). For PCRs 17 to 22 a dynamic launch does the same: it resets them, and the
owner of the machine starts it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class PcrProperties:
    """One row.

    Attributes:
        index: of the PCR.
        saved: TPM2_Shutdown(STATE) saves it, so it keeps its value over a suspend. A resume gives the others their
            first value.
        reset_by: localities that may reset it with TPM2_PCR_Reset or a dynamic launch; none for a PCR that only a
            reset of the TPM sets back. The operating system is at locality 0, hardware alone at locality 4.
        extended_by: localities that may extend it.
        starts_as_ones: its first value is all ones, until a dynamic launch resets it to zeros. Other PCRs start as
            zeros; the last byte of PCR 0 is the locality of TPM2_Startup.
    """

    index: int
    saved: bool
    reset_by: tuple[int, ...]
    extended_by: tuple[int, ...]
    starts_as_ones: bool

    @property
    def resettable(self) -> bool:
        """Whether it can be reset while the TPM runs."""
        return bool(self.reset_by)


def _static(index: int) -> PcrProperties:
    """Firmware, boot loader and operating system: they last as long as the TPM's power."""
    return PcrProperties(index=index, saved=True, reset_by=(), extended_by=(0, 1, 2, 3, 4), starts_as_ones=False)


def _free(index: int) -> PcrProperties:
    """Debugging (16) and applications (23): any program that reaches the TPM may reset them."""
    return PcrProperties(
        index=index, saved=False, reset_by=(0, 1, 2, 3), extended_by=(0, 1, 2, 3, 4), starts_as_ones=False
    )


def _dynamic(index: int, *, reset_by: tuple[int, ...], extended_by: tuple[int, ...]) -> PcrProperties:
    """The dynamic root of trust."""
    return PcrProperties(index=index, saved=False, reset_by=reset_by, extended_by=extended_by, starts_as_ones=True)


PCR_TABLE: Final[tuple[PcrProperties, ...]] = (
    *map(_static, range(16)),
    _free(16),
    _dynamic(17, reset_by=(4,), extended_by=(2, 3, 4)),
    _dynamic(18, reset_by=(4,), extended_by=(2, 3, 4)),
    _dynamic(19, reset_by=(4,), extended_by=(2, 3)),
    _dynamic(20, reset_by=(2, 4), extended_by=(1, 2, 3)),
    _dynamic(21, reset_by=(2, 4), extended_by=(2,)),
    _dynamic(22, reset_by=(2, 4), extended_by=(2,)),
    _free(23),
)
SAVED_PCRS: Final = tuple(each.index for each in PCR_TABLE if each.saved)
DYNAMIC_PCRS: Final = tuple(each.index for each in PCR_TABLE if each.starts_as_ones)
RESETTABLE_PCRS: Final = tuple(each.index for each in PCR_TABLE if each.resettable)


def resettable_among(indices: Iterable[int]) -> tuple[int, ...]:
    """The PCRs among these that can be reset while the TPM runs, ascending."""
    return tuple(sorted(index for index in set(indices) if index in RESETTABLE_PCRS))
