"""Notes, checkpoints and witnesses' requests: what is taken is written again as it was read."""

from schemas.errors import PeerError
from schemas.tlog.checkpoint import parse_checkpoint
from schemas.tlog.signed_note import encode_note, parse_note
from schemas.tlog.witness import AddCheckpoint, parse_add_checkpoint

_NOTE = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+"
    "xeMcTOAYQ8=\n"
).encode()
SEEDS = [_NOTE, AddCheckpoint(old_size=20852014, hashes=(bytes(32), b"\xff" * 32), note=_NOTE).encoded]


def one(data: bytes) -> None:
    try:
        request = parse_add_checkpoint(data)
    except PeerError:
        note = parse_note(data)
    else:
        assert request.encoded == data
        note = parse_note(request.note)
    assert encode_note(note) in data
    checkpoint = parse_checkpoint(note.unverified_text)
    assert checkpoint.text == note.unverified_text
