"""TSTInfo, the token it comes in, and the token's verification."""

from schemas.codecs.tst_info import extract_tst_info, parse_tst_info
from tests.fuzz.samples import IMPRINT, STAMPS, TOKEN, TST_INFO

SEEDS = [TOKEN, b"\x01" + TST_INFO, b"\x02" + TOKEN]


def one(data: bytes) -> None:
    match data[:1]:
        case b"\x01":
            parse_tst_info(data[1:])
        case b"\x02":
            STAMPS.verify_stamp(data[1:], IMPRINT)
        case _:
            parse_tst_info(extract_tst_info(data))
