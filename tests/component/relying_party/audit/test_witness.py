"""Witnesses cosign only checkpoints that extend all that they have seen; two of them cosign one checkpoint."""

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typing_extensions import override

from relying_party.__main__ import main
from schemas.errors import PeerError
from schemas.tlog.checkpoint import (
    Checkpoint,
    cosign_checkpoint,
    sign_checkpoint,
    verify_checkpoint,
    verify_cosignature,
)
from schemas.tlog.signed_note import COSIGNATURE_V1, note_key
from schemas.tlog.witness import AddCheckpoint, Answer, consider, parse_add_checkpoint
from tests.fakes.log_store import KEY, LOG_KEY, ORIGIN, LogRig, made_entries

ENTRIES = made_entries(40)
TIME_S = 1_900_000_000
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(7, 39)))


class Witness:
    """One witness, and the last checkpoint that it has seen."""

    def __init__(self, name: str, seed: int) -> None:
        self.name, self.key = name, Ed25519PrivateKey.from_private_bytes(bytes([seed] * 32))
        self.public = note_key(name, self.key, COSIGNATURE_V1)
        self.last: Checkpoint | None = None
        self.lock = threading.Lock()

    def ask(self, raw: bytes) -> Answer:
        with self.lock:
            try:
                request = parse_add_checkpoint(raw)
            except PeerError as error:
                return Answer(status=400, body=error.detail)
            answer = consider(request, self.last, [LOG_KEY], self.name, self.key, TIME_S)
            self.last = answer.cosigned or self.last
            return answer


@contextlib.contextmanager
def served(witness: Witness) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answer = witness.ask(self.rfile.read(int(self.headers["Content-Length"])))
            body = answer.body.encode()
            self.send_response(answer.status if self.path == "/w/add-checkpoint" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        @override
        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/w"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(name="rig")
def _rig(tmp_path: Path) -> LogRig:
    rig = LogRig(tmp_path)
    rig.write(ENTRIES[:30], 3, 10)
    return rig


def request(rig: LogRig, old: int, new: int) -> bytes:
    reader = rig.reader
    return AddCheckpoint(old_size=old, hashes=reader.consistency(old, new), note=reader.checkpoint_at(new)).encoded


def ask(rig: LogRig, url: str, *witnesses: Witness) -> int:
    keys = [part for witness in witnesses for part in ("--witness-key", witness.public.text)]
    return main(["audit", "witness", "ask", str(rig.log), url, "--log-key", LOG_KEY.text, *keys])


def test_two_witnesses_cosign_as_the_log_grows(rig: LogRig) -> None:
    one, two = Witness("witness.example/1", 1), Witness("witness.example/2", 2)
    with served(one) as first, served(two) as second:
        assert ask(rig, first, one, two) == 0
        assert ask(rig, second, one, two) == 0
        cosigned = rig.reader.checkpoint()
        for witness in (one, two):
            assert verify_cosignature(cosigned, witness.public)[1] == TIME_S
        rig.open()  # a cosigned checkpoint does not disturb the log's writer
        rig.append(ENTRIES, 1)
        rig.run()
        rig.close()
        rig.check(ENTRIES)
        assert ask(rig, first, one) == 0
        assert ask(rig, first, one) == 0
    assert one.last == verify_checkpoint(rig.reader.checkpoint(), LOG_KEY)
    assert verify_cosignature(rig.reader.checkpoint_at(30) + rig.reader.cosignatures(30), two.public)[0].size == 30
    assert main(["audit", "fsck", str(rig.log), "--log-key", LOG_KEY.text]) == 0


def test_a_cosignature_from_a_file(rig: LogRig, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    witness = Witness("witness.example/1", 1)
    line = witness.ask(request(rig, 0, 30)).body
    file = tmp_path / "cosignature"
    file.write_text(line)
    add = ["audit", "witness", "add", str(rig.log), str(file), "--log-key", LOG_KEY.text, "-w", witness.public.text]
    assert main(add) == 0
    assert main([*add, "--size", "10"]) == 1  # of another checkpoint
    file.write_bytes(rig.reader.checkpoint())
    assert main(add) == 0
    assert rig.reader.cosignatures(30).decode() == line  # not twice
    stranger = Witness("witness.example/other", 3)
    assert main([*add[:-1], stranger.public.text]) == 1
    file.write_text("nonsense")
    assert main(add) == 2
    assert main([*add[:-1], LOG_KEY.text]) == 2
    assert "of kind 1, expected 4" in capsys.readouterr().err


def test_what_a_witness_refuses(rig: LogRig) -> None:
    witness = Witness("witness.example/1", 1)
    assert witness.ask(request(rig, 0, 10)).status == 200
    conflict = witness.ask(request(rig, 0, 30))
    assert (conflict.status, conflict.body, conflict.cosigned) == (409, "10\n", None)
    good = request(rig, 10, 30)
    assert witness.ask(good.replace(b"old 10\n", b"old 31\n")).status == 400
    assert witness.ask(good.replace(b"old 10\n", b"old 010\n")).status == 400
    assert witness.ask(b"old 10\n" + good.partition(b"\n")[2].partition(b"\n")[2]).status == 422  # a hash less
    assert witness.ask(good.replace(b"\n30\n", b"\n29\n")).status == 403
    signed = sign_checkpoint(Checkpoint(origin="log.example/other", size=3, root=bytes(32)), KEY)
    assert witness.ask(AddCheckpoint(old_size=0, hashes=(), note=signed).encoded).status == 404
    signed = sign_checkpoint(Checkpoint(origin=ORIGIN, size=30, root=bytes(32)), OTHER)
    assert witness.ask(AddCheckpoint(old_size=10, hashes=(), note=signed).encoded).status == 403
    forked = sign_checkpoint(Checkpoint(origin=ORIGIN, size=10, root=bytes(32)), KEY)
    assert witness.ask(AddCheckpoint(old_size=10, hashes=(), note=forked).encoded).status == 422
    assert witness.last is not None
    assert witness.last.size == 10
    assert witness.ask(good).status == 200
    assert witness.ask(request(rig, 30, 30)).status == 200  # the same again, at another time


@pytest.mark.parametrize(
    "raw", [b"", b"old 1", b"old 1\n\n", b"new 1\n\n", b"old 1\nAAAA\n\n", b"old 1\n" + b"A" * 43 + b"=\n" * 70]
)
def test_what_is_no_request(raw: bytes) -> None:
    with pytest.raises(PeerError, match=r"malformed|too-large"):
        parse_add_checkpoint(raw)


def test_a_witness_that_saw_more_tells_of_a_log_that_went_back(rig: LogRig, capsys: pytest.CaptureFixture[str]) -> None:
    witness = Witness("witness.example/1", 1)
    witness.last = Checkpoint(origin=ORIGIN, size=31, root=bytes(32))
    with served(witness) as url:
        assert ask(rig, url, witness) == 1
        assert "has seen 31 entries of this log, which has 30" in capsys.readouterr().err
        assert ask(rig, f"{url}/nowhere", witness) == 1
    assert ask(rig, "http://127.0.0.1:9/", witness) == 1
    assert "Connection refused" in capsys.readouterr().err
    line = cosign_checkpoint(Checkpoint(origin=ORIGIN, size=1, root=bytes(32)), witness.name, witness.key, 1).line
    assert line.startswith("— witness.example/1 ")
