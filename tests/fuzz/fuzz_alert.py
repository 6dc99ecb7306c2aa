"""Alerts: what parses encodes to the same bytes."""

from schemas.messages.alert import encode_alert, parse_unverified_alert
from tests.fuzz.cbor_tree import mutate_cbor
from tests.fuzz.samples import RAW_ALERT

SEEDS = [RAW_ALERT]
MUTATE = mutate_cbor


def one(data: bytes) -> None:
    assert encode_alert(parse_unverified_alert(data)) == data
