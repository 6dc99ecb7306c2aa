"""The table of PCR properties against the profile: saved or not, localities that reset, localities that extend."""

import pytest

from schemas.limits import MAX_PCR_INDEX
from schemas.tpm.pcr_properties import (
    DYNAMIC_PCRS,
    PCR_TABLE,
    RESETTABLE_PCRS,
    SAVED_PCRS,
    PcrProperties,
    resettable_among,
)

# The TPM 2.0 reference implementation's table: a bit for "saved", and a mask of localities each for reset and extend.
ATTRIBUTES = [
    *[(1, 0x00, 0x1F)] * 16,
    (0, 0x0F, 0x1F),
    (0, 0x10, 0x1C),
    (0, 0x10, 0x1C),
    (0, 0x10, 0x0C),
    (0, 0x14, 0x0E),
    (0, 0x14, 0x04),
    (0, 0x14, 0x04),
    (0, 0x0F, 0x1F),
]


def mask(localities: tuple[int, ...]) -> int:
    return sum(1 << each for each in localities)


@pytest.mark.parametrize(("row", "attributes"), list(zip(PCR_TABLE, ATTRIBUTES, strict=True)))
def test_each_row_is_that_of_the_profile(row: PcrProperties, attributes: tuple[int, int, int]) -> None:
    assert (int(row.saved), mask(row.reset_by), mask(row.extended_by)) == attributes


def test_each_pcr_has_its_row() -> None:
    assert [row.index for row in PCR_TABLE] == list(range(MAX_PCR_INDEX + 1))


def test_the_groups_of_the_profile() -> None:
    assert tuple(range(16)) == SAVED_PCRS
    assert tuple(range(17, 23)) == DYNAMIC_PCRS
    assert (16, *range(17, 23), 23) == RESETTABLE_PCRS
    assert [row.index for row in PCR_TABLE if 0 in row.reset_by] == [16, 23], "what root resets without a launch"


def test_no_pcr_that_can_be_reset_outlives_a_suspend() -> None:
    assert not set(SAVED_PCRS) & set(RESETTABLE_PCRS)


def test_the_resettable_among_some() -> None:
    assert resettable_among([23, 10, 16, 16, 0]) == (16, 23)
    assert resettable_among(range(16)) == ()
