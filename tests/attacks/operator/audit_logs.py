"""The owner of an audit log's folder, or of its key, changes what was recorded."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from relying_party.__main__ import main
from schemas.audit.entry import EvidenceEntry, ObjectEntry, encode_entry
from schemas.identifiers import Ueid
from schemas.tlog.checkpoint import Checkpoint, sign_checkpoint
from schemas.tlog.tiles import encode_bundle, parse_bundle
from schemas.topics import TopicKind
from tests.attacks.catalogue import Attacker, Kind, Layer
from tests.attacks.scene import Scene
from tests.attacks.seen import Seen
from tests.builders.token_forge import ForgedAuthority
from tests.fakes.log_store import KEY, LOG_KEY, ORIGIN, LogRig

CHANGE = Kind(by=Attacker.OPERATOR, goal="change an audit log unnoticed", layer=Layer.COMPONENT)
T0_US, S = 1_900_000_000_000_000, 1_000_000
SIZES = (10, 300, 400)


def _entry(number: int, payload: bytes = b"evidence") -> bytes:
    when = T0_US + number * S
    if number % 50 == 0:
        return encode_entry(ObjectEntry(received_us=when, kind=TopicKind.HANDLES, raw=b"handle %d" % number))
    digest = hashlib.sha256(payload).digest()
    ueid = Ueid(b"\x01" + bytes(32))
    made = EvidenceEntry(received_us=when, ueid=ueid, reasons=(), result=b"r", digest=digest, payload=payload)
    return encode_entry(made)


def _log(folder: Path) -> tuple[Path, ForgedAuthority]:
    """Three stamped checkpoints over 400 entries."""
    rig, authority = LogRig(folder), ForgedAuthority.make()
    rig.write([_entry(number) for number in range(SIZES[-1])], *SIZES[:-1])
    for size in SIZES:
        _stamp(rig.log, authority, size, T0_US + size * S)
    (folder / "tsa.pem").write_bytes(authority.root.pem)
    return rig.log, authority


def _stamp(log: Path, authority: ForgedAuthority, size: int, at_us: int) -> None:
    signed = (log / "checkpoints" / str(size)).read_bytes()
    (log / "stamps").mkdir(exist_ok=True)
    token = authority.token(hashlib.sha256(signed).digest(), at_us, accuracy_us=S)
    (log / "stamps" / f"{size}.tst").write_bytes(token)


def _bundle(log: Path) -> Iterator[tuple[Path, list[bytes]]]:
    path = log / "tile" / "entries" / "000"
    yield path, list(parse_bundle(path.read_bytes(), 256))


def entry_changed(log: Path, authority: ForgedAuthority) -> None:
    """An entry is exchanged for a better one."""
    for path, leaves in _bundle(log):
        leaves[45] = _entry(45, b"better evidence")
        path.write_bytes(encode_bundle(leaves))


def entries_swapped(log: Path, authority: ForgedAuthority) -> None:
    """Two entries are exchanged."""
    for path, leaves in _bundle(log):
        leaves[10], leaves[11] = leaves[11], leaves[10]
        path.write_bytes(encode_bundle(leaves))


def tile_changed(log: Path, authority: ForgedAuthority) -> None:
    """A hash in a tile is changed."""
    path = log / "tile" / "0" / "000"
    content = bytearray(path.read_bytes())
    content[45 * 32] ^= 1
    path.write_bytes(content)


def end_cut_off(log: Path, authority: ForgedAuthority) -> None:
    """The newest entries are cut off; their checkpoint stays."""
    shutil.rmtree(log / "tile" / "entries" / "001.p")


def checkpoint_of_another_history(log: Path, authority: ForgedAuthority) -> None:
    """The log's key signs another history of the same size, and has it stamped."""
    signed = sign_checkpoint(Checkpoint(origin=ORIGIN, size=SIZES[-1], root=bytes(32)), KEY)
    (log / "checkpoints" / str(SIZES[-1])).write_bytes(signed)
    _stamp(log, authority, SIZES[-1], T0_US + SIZES[-1] * S)


def checkpoint_with_another_size(log: Path, authority: ForgedAuthority) -> None:
    """A checkpoint's size is changed, under its old signature."""
    path = log / "checkpoints" / "300"
    path.write_bytes(path.read_bytes().replace(b"\n300\n", b"\n301\n"))


def stamp_of_another_checkpoint(log: Path, authority: ForgedAuthority) -> None:
    """The stamp of an earlier checkpoint is put on the newest one."""
    shutil.copy(log / "stamps" / "300.tst", log / "stamps" / f"{SIZES[-1]}.tst")


def stamped_by_a_tsa_of_its_own(log: Path, authority: ForgedAuthority) -> None:
    """The newest checkpoint is stamped by a TSA of the operator's."""
    _stamp(log, ForgedAuthority.make(), SIZES[-1], T0_US + SIZES[-1] * S)


def dated_back(log: Path, authority: ForgedAuthority) -> None:
    """The newest checkpoint carries a stamp that is older than the entries in it."""
    _stamp(log, authority, SIZES[-1], T0_US + 305 * S)


@CHANGE.ways(
    "found",
    moves=(
        entry_changed,
        entries_swapped,
        tile_changed,
        end_cut_off,
        checkpoint_of_another_history,
        checkpoint_with_another_size,
        stamp_of_another_checkpoint,
        stamped_by_a_tsa_of_its_own,
        dated_back,
    ),
)
def folder_changed(scene: Scene, move: Callable[[Path, ForgedAuthority], None]) -> Seen:
    """`audit fsck` looks at a folder in which"""
    folder = scene.folder()
    log, authority = _log(folder)
    assert _fsck(folder)[0] == 0
    move(log, authority)
    status, told = _fsck(folder)
    return Seen(verdict="found" if status == 1 else f"exit {status}", detail=told.strip().splitlines()[-1])


def _fsck(folder: Path, *more: str) -> tuple[int, str]:
    with redirect_stdout(StringIO()) as told:
        trust = ["--log-key", LOG_KEY.text, "--tsa-root", str(folder / "tsa.pem")]
        return main(["audit", "fsck", str(folder / "log"), *trust, *more]), told.getvalue()


@CHANGE.attack("found")
def history_that_somebody_has_seen_otherwise(scene: Scene) -> Seen:
    """A whole other history under the log's key; an auditor has kept a checkpoint of the first one."""
    folder = scene.folder()
    _log(folder)
    (folder / "seen").write_bytes(sign_checkpoint(Checkpoint(origin=ORIGIN, size=310, root=bytes(32)), KEY))
    status, _ = _fsck(folder, "--known", str(folder / "seen"))
    return Seen(verdict="found" if status == 1 else f"exit {status}")
