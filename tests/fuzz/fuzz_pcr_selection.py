"""TPML_PCR_SELECTION, and the same as text in settings."""

from schemas.tpm.pcr import encode_selection, parse_selection, parse_selection_text, selection_text
from tests.builders.tpm_bytes import selection_bytes

SEEDS = [selection_bytes((0x000B, b"\xff\x07\x00")), b"\x01sha256:0-10+sha1:0,2,4", b"\x01sha384:23"]


def one(data: bytes) -> None:
    if data[:1] == b"\x01":
        selection = parse_selection_text(data[1:].decode("utf-8", "replace"))
        assert parse_selection_text(selection_text(selection)) == selection
    else:
        selection = parse_selection(data)
        assert parse_selection(encode_selection(selection)) == selection
