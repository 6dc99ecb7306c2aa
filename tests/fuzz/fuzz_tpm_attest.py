"""TPMS_ATTEST."""

from schemas.tpm.attest import parse_attest
from tests.fuzz.samples import QUOTE, SYNC

SEEDS = [QUOTE, SYNC]


def one(data: bytes) -> None:
    parse_attest(data)
