"""Binary IMA lists of every bank: any bytes parse, or raise the parser's own error."""

from typing import Final

from schemas.errors import PeerError
from schemas.hashes import HASH_ALGORITHMS, SHA256
from schemas.ima import records as ima_records
from schemas.ima.formats import convert, detect_format
from schemas.replay.log_replay import IMA, Replay, ReplayState
from tests.builders.ima_shown import show_bank
from tests.builders.log_bytes import FIRMWARE, ima_legacy, ima_ng, ima_record

_STATE: Final = ReplayState(banks=HASH_ALGORITHMS)
_ENTRY: Final = ima_ng(b"/bin/sh", b"content")

SEEDS: Final = (
    _ENTRY,
    ima_legacy(b"/old", b"content"),
    ima_record(b"d-ng|n-ng|iuid", b"sha256:\0" + bytes(32), b"/c\0", bytes(4)),
    ima_record(b"ima-sigv2", b"verity:sha256:\0" + bytes(32), b"/c\0", b"\x06\x03\x04"),
    show_bank(_ENTRY, SHA256),
    (FIRMWARE / "binary_runtime_measurements").read_bytes()[:4096],
)


def one(data: bytes) -> None:
    """One input."""
    try:
        records, rest = ima_records.split_records(data)
        assert b"".join(records) + rest == data
        for record in records:
            _entry(record)
        whole = Replay(_STATE, {IMA: b"".join(records)}).whole.consumed.get(IMA)
        if whole is not None and whole.ima is not None:
            list(whole.ima.files(whole.count))
    except PeerError:
        pass
    form = detect_format(data)
    try:
        converted = convert(data, form)
    except PeerError:
        return
    assert not converted.ends or converted.ends[-1] <= len(data)


def _entry(record: bytes) -> None:
    try:
        ima_records.parse_entry(record)
    except PeerError:
        return
