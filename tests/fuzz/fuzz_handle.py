"""Handles: as bytes on the wire, and as claims that a trusted distributor has signed and stamped."""

from schemas.codecs.cose import parse, verify
from schemas.messages.handle import Handle, verify_handle
from schemas.reasons import Reason
from tests.fuzz.cbor_tree import mutate_cbor
from tests.fuzz.samples import HANDLE, HANDLE_PAYLOAD, HANDLE_TYPE, KEYS, STAMP_TIME_US, AnyStamp, signed

SEEDS = [HANDLE, b"\x01" + HANDLE_PAYLOAD]
MUTATE = mutate_cbor


def one(data: bytes) -> None:
    raw = signed(data[1:], HANDLE_TYPE, stamped=True) if data[:1] == b"\x01" else data
    handle: Handle = verify_handle(raw, KEYS, AnyStamp(STAMP_TIME_US))
    assert verify(parse(handle.raw, "handle"), KEYS, HANDLE_TYPE, Reason.HANDLE_SIGNATURE_INVALID)
