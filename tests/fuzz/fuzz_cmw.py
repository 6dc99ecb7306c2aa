"""CMW records: what is unwrapped wraps to the same bytes."""

from schemas.codecs import cmw
from schemas.media_types import EVIDENCE, STATUS, Indicator
from tests.fuzz.cbor_tree import mutate_cbor
from tests.fuzz.samples import EVIDENCE as RAW_EVIDENCE
from tests.fuzz.samples import RAW_STATUS

SEEDS = [cmw.wrap(EVIDENCE, RAW_EVIDENCE, Indicator.EVIDENCE), cmw.wrap(STATUS, RAW_STATUS, None)]
MUTATE = mutate_cbor


def one(data: bytes) -> None:
    value = cmw.unwrap(data, EVIDENCE, Indicator.EVIDENCE)
    assert cmw.wrap(EVIDENCE, value, Indicator.EVIDENCE) == data
