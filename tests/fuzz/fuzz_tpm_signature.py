"""TPMT_SIGNATURE: parsing, and verification of what parses."""

from schemas.reasons import Reason
from schemas.tpm.signature import parse_signature, verify_signature
from tests.fuzz.samples import DEVICE_KEY, QUOTE, SIGNATURE

SEEDS = [SIGNATURE, bytes.fromhex("0014000b0100") + bytes(256)]


def one(data: bytes) -> None:
    verify_signature(DEVICE_KEY, parse_signature(data), QUOTE, Reason.QUOTE_SIGNATURE_INVALID)
