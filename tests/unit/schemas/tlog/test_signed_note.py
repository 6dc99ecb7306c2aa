"""Notes, checkpoints and cosignatures: the examples of C2SP's specifications, and forms that are refused."""

import base64
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from schemas.errors import PeerError
from schemas.tlog.checkpoint import (
    Checkpoint,
    cosign_checkpoint,
    parse_checkpoint,
    sign_checkpoint,
    verify_checkpoint,
    verify_cosignature,
)
from schemas.tlog.signed_note import (
    COSIGNATURE_V1,
    MAX_NOTE_SIGNATURES,
    Note,
    NoteKey,
    NoteSignature,
    encode_note,
    note_key,
    parse_note,
    parse_note_key,
    parse_signatures,
    sign_note,
    verify_note,
)

# The example of C2SP signed-note.
SPECIFIED_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
SPECIFIED_NOTE = (
    "This is an example message.\n"
    "\n"
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
).encode()
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
WITNESS = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
LOG = note_key("log.example/audit", KEY)
WITNESS_KEY = note_key("witness.example/w1", WITNESS, COSIGNATURE_V1)
CHECKPOINT = Checkpoint(origin="log.example/audit", size=20852163, root=bytes(range(32)))
RAW = sign_checkpoint(CHECKPOINT, KEY)


def cosigned(raw: bytes = RAW, time_s: int = 1_679_315_147) -> bytes:
    return raw + cosign_checkpoint(CHECKPOINT, WITNESS_KEY.name, WITNESS, time_s).line.encode()


def test_the_specification_s_example_verifies() -> None:
    key = parse_note_key(SPECIFIED_KEY)
    assert (key.name, key.text) == ("example.com/foo", SPECIFIED_KEY)
    assert verify_note(SPECIFIED_NOTE, key) == "This is an example message.\n"


def test_a_parsed_note_encodes_to_the_same_bytes() -> None:
    for raw in (SPECIFIED_NOTE, RAW, cosigned()):
        assert encode_note(parse_note(raw)) == raw


def test_a_text_with_empty_lines_ends_at_the_last() -> None:
    note = encode_note(sign_note("one\n\ntwo\n", "k", KEY))
    assert verify_note(note, note_key("k", KEY)) == "one\n\ntwo\n"


def test_a_checkpoint_comes_back() -> None:
    assert verify_checkpoint(RAW, LOG) == CHECKPOINT
    assert verify_checkpoint(cosigned(), LOG) == CHECKPOINT


def test_a_cosignature_has_its_time() -> None:
    assert verify_cosignature(cosigned(), WITNESS_KEY) == (CHECKPOINT, 1_679_315_147)
    twice = cosigned(cosigned(), time_s=1_600_000_000)
    assert verify_cosignature(twice, WITNESS_KEY)[1] == 1_600_000_000


def test_a_cosignature_and_a_signature_are_not_each_other() -> None:
    as_log = NoteKey(name=LOG.name, kind=COSIGNATURE_V1, public=LOG.public)
    with pytest.raises(PeerError, match="audit-checkpoint-invalid"):
        verify_cosignature(RAW, as_log)
    with pytest.raises(PeerError, match="audit-checkpoint-invalid"):
        verify_cosignature(RAW, LOG)
    with pytest.raises(PeerError, match="audit-checkpoint-invalid"):
        verify_note(cosigned(), WITNESS_KEY)


def test_a_cosignature_of_another_time_is_refused() -> None:
    signature = cosign_checkpoint(CHECKPOINT, WITNESS_KEY.name, WITNESS, 100)
    later = NoteSignature(
        name=signature.name, key_id=signature.key_id, value=(200).to_bytes(8, "big") + signature.value[8:]
    )
    with pytest.raises(PeerError, match="audit-checkpoint-invalid"):
        verify_cosignature(RAW + later.line.encode(), WITNESS_KEY)


def test_a_checkpoint_of_another_log_is_refused() -> None:
    other = Checkpoint(origin="log.example/other", size=1, root=bytes(32))
    by_this_key_name = encode_note(sign_note(other.text, LOG.name, KEY))
    with pytest.raises(PeerError, match="audit-checkpoint-invalid"):
        verify_checkpoint(by_this_key_name, LOG)


def test_a_wrong_signature_of_a_known_key_refuses_the_note() -> None:
    forged = NoteSignature(name=LOG.name, key_id=LOG.key_id, value=bytes(64))
    with pytest.raises(PeerError, match="audit-checkpoint-invalid"):
        verify_checkpoint(RAW + forged.line.encode(), LOG)


def test_a_stranger_s_signature_is_ignored() -> None:
    stranger = NoteSignature(name=LOG.name, key_id=b"\x00\x01\x02\x03", value=b"?")
    assert verify_checkpoint(RAW + stranger.line.encode(), LOG) == CHECKPOINT
    only = encode_note(Note(unverified_text=CHECKPOINT.text, signatures=(stranger,)))
    with pytest.raises(PeerError, match="audit-checkpoint-invalid"):
        verify_checkpoint(only, LOG)


def test_every_changed_bit_is_noticed() -> None:
    for place in range(len(RAW) * 8):
        changed = bytearray(RAW)
        changed[place // 8] ^= 1 << place % 8
        with pytest.raises(PeerError):
            verify_checkpoint(bytes(changed), LOG)


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "no signature": lambda raw: raw[: raw.index(b"\n\n") + 2],
    "no empty line": lambda raw: raw.replace(b"\n\n", b"\n"),
    "no last newline": lambda raw: raw[:-1],
    "a carriage return": lambda raw: raw.replace(b"\n", b"\r\n"),
    "a tab": lambda raw: b"\t" + raw,
    "not UTF-8": lambda raw: b"\xff" + raw,
    "another dash": lambda raw: raw.replace("—".encode(), b"-"),
    "no space": lambda raw: raw.replace("— ".encode(), "—".encode()),
    "base64 with a newline": lambda raw: raw[:-10] + b"\n" + raw[-10:],
    "base64 without its end": lambda raw: raw.replace(b"=\n", b"\n"),
    "too many signatures": lambda raw: raw + raw[raw.index(b"\n\n") + 2 :] * MAX_NOTE_SIGNATURES,
    "empty": lambda raw: b"",
    "huge": lambda raw: raw * 2000,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_other_forms_are_not_notes(change: Callable[[bytes], bytes]) -> None:
    with pytest.raises(PeerError, match=r"malformed|too-large"):
        parse_note(change(RAW))


@pytest.mark.parametrize(
    "text",
    [
        *("", "o\n", "o\n1\n", "o\n01\nAAAA\n", f"o\n1\n{base64.b64encode(bytes(31)).decode()}\n"),
        CHECKPOINT.text[:-1],
        CHECKPOINT.text + "\n",
        CHECKPOINT.text.replace("20852163", "020852163"),
        CHECKPOINT.text.replace("20852163", "+20852163"),
        CHECKPOINT.text.replace("20852163", str(2**63)),
        CHECKPOINT.text.replace("20852163", "9" * 5000),
        CHECKPOINT.text.replace("20852163", "٣"),
        "\n" + CHECKPOINT.text,
        CHECKPOINT.text + "x\n" * 17,
    ],
)
def test_other_forms_are_not_checkpoints(text: str) -> None:
    with pytest.raises(PeerError, match=r"malformed|too-large"):
        parse_checkpoint(text)


@pytest.mark.parametrize(
    "text",
    [
        SPECIFIED_KEY + "\n",
        SPECIFIED_KEY.replace("530d903a", "530D903A"),
        SPECIFIED_KEY.replace("530d903a", "530d903b"),
        SPECIFIED_KEY.replace("foo", "bar"),
        SPECIFIED_KEY[:-4],
        SPECIFIED_KEY.replace("+Aeky", "+Beky"),
        *("", "+", "++", "a+b", "a b+00000000+AA=="),
    ],
)
def test_other_forms_are_not_verifier_keys(text: str) -> None:
    with pytest.raises(PeerError, match="malformed"):
        parse_note_key(text)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u00a0b", "a\u2003", "a\n", "\x01", "n" * 256])
def test_other_forms_are_not_key_names(name: str) -> None:
    with pytest.raises(PeerError, match="malformed"):
        note_key(name, KEY)


def test_signature_lines_alone() -> None:
    line = cosign_checkpoint(CHECKPOINT, WITNESS_KEY.name, WITNESS, 7).line
    assert [each.line for each in parse_signatures(line * 2)] == [line, line]
    with pytest.raises(PeerError, match="malformed"):
        parse_signatures(line[:-1])
