"""``audit fsck`` and ``audit consistency`` find every way to damage an audit log, and the first bad entry."""

import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from relying_party.__main__ import main
from runtime.audit_log.frames import encode_frame
from runtime.audit_log.log_reader import AuditLogReader
from runtime.audit_log.recorded_messages import read_captured
from runtime.audit_log.store import FolderStore
from runtime.audit_log.tree_writer import TreeWriter
from schemas.audit.entry import EvidenceEntry, ObjectEntry, encode_entry
from schemas.errors import PeerError
from schemas.identifiers import Ueid
from schemas.tlog.checkpoint import Checkpoint, sign_checkpoint
from schemas.tlog.consistency_proof import parse_consistency_proof
from schemas.tlog.merkle import EMPTY_ROOT, leaf_hash
from schemas.tlog.tiles import encode_bundle, parse_bundle
from schemas.topics import TopicKind
from tests.builders.damage import flipped
from tests.builders.token_forge import ForgedAuthority
from tests.fakes.log_store import KEY, LOG_KEY, ORIGIN, LogRig

T0_US = 1_900_000_000_000_000
S = 1_000_000
SIZES = (10, 300, 530)
AUTHORITY = ForgedAuthority.make()


def entry(number: int, *, received_us: int | None = None, payload: bytes = b"evidence") -> bytes:
    """One entry a second."""
    when = T0_US + number * S if received_us is None else received_us
    if number % 50 == 0:
        return encode_entry(ObjectEntry(received_us=when, kind=TopicKind.HANDLES, raw=b"handle %d" % number))
    return encode_entry(
        EvidenceEntry(
            received_us=when,
            ueid=Ueid(b"\x01" + bytes(32)),
            reasons=(),
            result=b"result",
            digest=hashlib.sha256(payload).digest(),
            payload=payload * (20_000 if number == 77 else 1),
        )
    )


ENTRIES = [entry(number) for number in range(SIZES[-1])]


def stamp(log: Path, size: int, at_us: int) -> None:
    signed = (log / "checkpoints" / str(size)).read_bytes()
    (log / "stamps").mkdir(exist_ok=True)
    token = AUTHORITY.token(hashlib.sha256(signed).digest(), at_us, accuracy_us=S)
    (log / "stamps" / f"{size}.tst").write_bytes(token)


@pytest.fixture(scope="module", name="original")
def _original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    rig = LogRig(folder)
    rig.write(ENTRIES, *SIZES[:-1])
    for size in SIZES:
        stamp(rig.log, size, T0_US + size * S)
    (folder / "tsa.pem").write_bytes(AUTHORITY.root.pem)
    return folder


@pytest.fixture(name="folder")
def _folder(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original, tmp_path / "copy")
    return tmp_path / "copy"


def fsck(folder: Path, *more: str) -> int:
    return main(
        ["audit", "fsck", str(folder / "log"), "--log-key", LOG_KEY.text, "--tsa-root", str(folder / "tsa.pem"), *more]
    )


def test_a_whole_log_holds(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fsck(folder) == 0
    told = capsys.readouterr()
    assert told.out == "530 entries (519 evidence), 3 checkpoints, 3 stamps, 0 more in the journal\nholds\n"


# ── attacks ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def change_bundle(log: Path, change: Callable[[list[bytes]], None], name: str = "001") -> None:
    path = log / "tile" / "entries" / name
    leaves = list(parse_bundle(path.read_bytes(), 256))
    change(leaves)
    path.write_bytes(encode_bundle(leaves))


def edit(leaves: list[bytes]) -> None:
    leaves[45] = entry(301, payload=b"better evidence")


def swap(leaves: list[bytes]) -> None:
    leaves[10], leaves[11] = leaves[11], leaves[10]


def edited(log: Path) -> None:
    change_bundle(log, edit)


def reordered(log: Path) -> None:
    change_bundle(log, swap)


def tile_changed(log: Path) -> None:
    path = log / "tile" / "0" / "001"
    content = bytearray(path.read_bytes())
    content[45 * 32] ^= 1
    path.write_bytes(content)


def tile_missing(log: Path) -> None:
    (log / "tile" / "0" / "001").unlink()


def upper_tile_changed(log: Path) -> None:
    path = log / "tile" / "1" / "000.p" / "2"
    content = bytearray(path.read_bytes())
    content[32] ^= 1
    path.write_bytes(content)


def edited_with_its_hash(log: Path) -> None:
    edited(log)
    path = log / "tile" / "0" / "001"
    content = path.read_bytes()
    path.write_bytes(content[: 45 * 32] + leaf_hash(entry(301, payload=b"better evidence")) + content[46 * 32 :])


def rebuilt(log: Path, changed: int, *, sign: bool) -> None:
    """Writes a new history from one entry on, in valid tiles; signs its last checkpoint, or leaves the old ones."""
    entries = [*ENTRIES]
    entries[changed] = entry(changed, payload=b"better evidence")
    shutil.rmtree(log / "tile")
    writer = TreeWriter(FolderStore(log), 0, EMPTY_ROOT)
    writer.grow(entries)
    if sign:
        signed = sign_checkpoint(Checkpoint(origin=ORIGIN, size=writer.size, root=writer.root), KEY)
        (log / "checkpoint").write_bytes(signed)
        (log / "checkpoints" / str(writer.size)).write_bytes(signed)
        stamp(log, writer.size, T0_US + writer.size * S)
    journal(log, entries)


def journal(log: Path, entries: list[bytes]) -> None:
    for each in (log / "journal").iterdir():
        each.unlink()
    content = b"".join(encode_frame(number, each) for number, each in enumerate(entries, 1))
    (log / "journal" / f"{0:020}-{0:020}.frames").write_bytes(content)


def truncated_bundle(log: Path) -> None:
    path = log / "tile" / "entries" / "002.p" / "18"
    path.write_bytes(path.read_bytes()[:-1])


def last_bundle_gone(log: Path) -> None:
    shutil.rmtree(log / "tile" / "entries" / "002.p")
    shutil.rmtree(log / "tile" / "0" / "002.p")


def blob_gone(log: Path) -> None:
    (blob,) = (log / "blob").iterdir()
    blob.unlink()


def blob_changed(log: Path) -> None:
    (blob,) = (log / "blob").iterdir()
    blob.write_bytes(flipped(blob.read_bytes()))


def swapped_checkpoint(log: Path) -> None:
    shutil.copy(log / "checkpoints" / "300", log / "checkpoints" / "530")


def forged_checkpoint(log: Path) -> None:
    path = log / "checkpoints" / "300"
    path.write_bytes(path.read_bytes().replace(b"\n300\n", b"\n301\n"))


def forked_at_the_same_size(log: Path) -> None:
    signed = sign_checkpoint(Checkpoint(origin=ORIGIN, size=530, root=bytes(32)), KEY)
    (log / "checkpoints" / "530").write_bytes(signed)
    stamp(log, 530, T0_US + 530 * S)


def checkpoint_stamped_before_a_smaller_one(log: Path) -> None:
    stamp(log, 530, T0_US + 100 * S)


def stamped_before_its_entries(log: Path) -> None:
    stamp(log, 530, T0_US + 330 * S)


def entry_claims_to_be_old(log: Path) -> None:
    """The owner of the key adds an entry of yesterday, and has the checkpoint stamped today."""
    entries = [*ENTRIES, entry(1, received_us=T0_US + 20 * S)]
    writer = TreeWriter(FolderStore(log), 0, EMPTY_ROOT)
    writer.grow(entries)
    signed = sign_checkpoint(Checkpoint(origin=ORIGIN, size=531, root=writer.root), KEY)
    (log / "checkpoint").write_bytes(signed)
    (log / "checkpoints" / "531").write_bytes(signed)
    stamp(log, 531, T0_US + 531 * S)


def stamp_of_another_checkpoint(log: Path) -> None:
    shutil.copy(log / "stamps" / "300.tst", log / "stamps" / "530.tst")


def journal_of_another_history(log: Path) -> None:
    journal(log, [*ENTRIES[:120], entry(120, payload=b"other"), *ENTRIES[121:]])


def journal_damaged(log: Path) -> None:
    journal(log, [*ENTRIES, entry(530), entry(531)])
    (path,) = (log / "journal").iterdir()
    content = bytearray(path.read_bytes())
    content[-200] ^= 1
    path.write_bytes(content)


def journal_behind_a_gap(log: Path) -> None:
    for each in (log / "journal").iterdir():
        each.unlink()
    (log / "journal" / f"{540:020}-{540:020}.frames").write_bytes(b"")


ATTACKS = [
    (edited, 301, "audit-log-altered"),
    (reordered, 266, "audit-log-altered"),
    (tile_changed, 301, "audit-log-altered"),
    (tile_missing, 256, "audit-log-truncated"),
    (upper_tile_changed, 256, "audit-log-altered"),
    (edited_with_its_hash, 300, "audit-log-altered"),
    (lambda log: rebuilt(log, 401, sign=False), 300, "audit-log-altered"),
    (lambda log: rebuilt(log, 201, sign=True), 10, "audit-log-forked"),
    (truncated_bundle, 512, "malformed"),
    (last_bundle_gone, 512, "audit-log-truncated"),
    (blob_gone, 77, "audit-log-truncated"),
    (blob_changed, 77, "audit-log-altered"),
    (swapped_checkpoint, 300, "audit-checkpoint-invalid"),
    (forged_checkpoint, 10, "audit-checkpoint-invalid"),
    (forked_at_the_same_size, 300, "audit-log-forked"),
    (checkpoint_stamped_before_a_smaller_one, 300, "audit-back-dated"),
    (stamped_before_its_entries, 392, "audit-back-dated"),
    (entry_claims_to_be_old, 530, "audit-back-dated"),
    (stamp_of_another_checkpoint, 300, "audit-stamp-invalid"),
    (journal_of_another_history, 120, "audit-log-forked"),
    (journal_damaged, 530, "audit-log-altered"),
    (journal_behind_a_gap, 530, "audit-log-truncated"),
]


@pytest.mark.parametrize(
    ("attack", "first", "reason"), ATTACKS, ids=[f"{attack.__name__}-{first}" for attack, first, _ in ATTACKS]
)
def test_each_attack_is_found_with_the_first_bad_entry(
    folder: Path, capsys: pytest.CaptureFixture[str], attack: Callable[[Path], None], first: int, reason: str
) -> None:
    attack(folder / "log")
    assert fsck(folder) == 1
    told = capsys.readouterr()
    assert re.search(rf"^entry {first}: {reason}: ", told.out, re.MULTILINE), told.out
    assert f"first bad entry: {first}\n" in told.out


def test_a_log_cut_off_with_all_its_traces_is_found_by_who_saw_more(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = folder / "log"
    seen = folder / "seen"
    shutil.copy(log / "checkpoint", seen)
    shutil.copy(log / "checkpoints" / "300", log / "checkpoint")
    for size in ("checkpoints/530", "stamps/530.tst"):
        (log / size).unlink()
    journal(log, ENTRIES[:300])
    shutil.rmtree(log / "tile")
    TreeWriter(FolderStore(log), 0, EMPTY_ROOT).grow(ENTRIES[:300])
    assert fsck(folder) == 0  # nothing in the folder can show it
    assert fsck(folder, "--known", str(seen)) == 1
    assert "entry 300: audit-log-truncated: the log ends here; a checkpoint of 530" in capsys.readouterr().out


def test_a_fork_is_found_by_who_saw_the_other_side(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = sign_checkpoint(Checkpoint(origin=ORIGIN, size=400, root=bytes(32)), KEY)
    (folder / "seen").write_bytes(other)
    assert fsck(folder, "--known", str(folder / "seen")) == 1
    assert "entry 300: audit-log-forked: the key has signed another history" in capsys.readouterr().out


@pytest.mark.parametrize("attack", [tile_changed, tile_missing, upper_tile_changed])
def test_what_entries_and_checkpoints_decide_can_be_repaired(folder: Path, attack: Callable[[Path], None]) -> None:
    attack(folder / "log")
    assert fsck(folder) == 1
    assert fsck(folder, "--repair") == 0
    assert fsck(folder) == 0


@pytest.mark.parametrize("attack", [edited, edited_with_its_hash, blob_gone, truncated_bundle, swapped_checkpoint])
def test_what_is_lost_is_not_repaired(folder: Path, attack: Callable[[Path], None]) -> None:
    attack(folder / "log")
    before = {path: path.read_bytes() for path in (folder / "log").rglob("*") if path.is_file()}
    assert fsck(folder, "--repair") == 1
    assert {path: path.read_bytes() for path in (folder / "log").rglob("*") if path.is_file()} == before


def checkpoint_gone(log: Path) -> None:
    (log / "checkpoint").unlink()


def test_a_checkpoint_that_is_gone_is_missed_and_made_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint_gone(folder / "log")
    assert fsck(folder) == 1
    assert "log: audit-log-truncated: " in capsys.readouterr().out
    assert fsck(folder, "--repair") == 0
    assert (folder / "log" / "checkpoint").read_bytes() == (folder / "log" / "checkpoints" / "530").read_bytes()


def test_a_log_with_a_journal_alone_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rig = LogRig(tmp_path)
    rig.open()
    rig.append(ENTRIES[:3])
    rig.close()
    assert main(["audit", "fsck", str(rig.log), "--log-key", LOG_KEY.text]) == 0
    assert "nothing was published yet" in capsys.readouterr().err


def test_another_key_believes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
    assert main(["audit", "fsck", str(folder / "log"), "--log-key", other]) == 1
    assert "audit-checkpoint-invalid" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fsck", "/nowhere", "--log-key", LOG_KEY.text], "/nowhere: there is no such folder"),
        (["fsck", "{log}/tile", "--log-key", LOG_KEY.text], "no audit log: no checkpoint in it, and no journal"),
        (["fsck", "{log}", "--log-key", "nonsense"], "--log-key: nonsense"),
        (["fsck", "{log}", "--log-key", "a+b+c"], "--log-key: verifier key"),
        (["fsck", "{log}", "--log-key", LOG_KEY.text, "--tsa-root", "/nowhere"], "--tsa-root: /nowhere"),
        (["fsck", "{log}", "--log-key", LOG_KEY.text, "--tolerance-s", "-1"], "--tolerance-s: -1"),
        (["consistency", "--log-key", LOG_KEY.text], "LOG and --from: missing"),
        (["consistency", "{log}", "--log-key", LOG_KEY.text, "--from", "/nowhere"], "/nowhere"),
        (["consistency", "--log-key", LOG_KEY.text, "--check", "{log}/checkpoint"], "--check: "),
    ],
)
def test_a_wrong_option_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(["audit", *(each.replace("{log}", str(folder / "log")) for each in arguments)]) == 2
    assert words in capsys.readouterr().err


HOSTILE = "sent\nholds\x1b[8m\u202e\x07"


def test_a_folder_s_name_cannot_write_a_line_of_the_findings(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The person who hands over an audit log chooses the name of its folder."""
    tile_missing(folder / "log")
    (folder / "log").rename(folder / HOSTILE)
    assert main(["audit", "fsck", str(folder / HOSTILE), "--log-key", LOG_KEY.text]) == 1
    told = capsys.readouterr().out
    assert "sent\\nholds\\x1b[8m\\u202e\\x07: tile/0/001 is missing" in told
    assert "holds" not in told.splitlines()
    assert not set(told) & {"\x1b", "\u202e", "\x07"}


# ── consistency ──────────────────────────────────────────────────────────────────────────────────────────────────────


def consistency(*arguments: str) -> int:
    return main(["audit", "consistency", "--log-key", LOG_KEY.text, *arguments])


def test_a_proof_of_consistency_is_checked_without_the_log(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, proof = str(folder / "log"), tmp_path / "proof"
    assert consistency(log, "--from", "10", "--to", "300", "--out", str(proof)) == 0
    assert "holds: log.example/audit: 300 entries extend 10, by " in capsys.readouterr().out
    assert consistency("--check", str(proof)) == 0
    assert consistency(log, "--from", f"{log}/checkpoints/10") == 0
    assert consistency(log, "--from", "11") == 1
    assert consistency(log, "--from", "300", "--to", "10") == 1


def test_every_changed_bit_of_a_proof_fails(folder: Path, tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    assert consistency(str(folder / "log"), "--from", "10", "--to", "300", "--out", str(proof)) == 0
    raw = proof.read_bytes()
    for place in range(len(raw) * 8):
        flipped = bytearray(raw)
        flipped[place // 8] ^= 1 << place % 8
        with pytest.raises(PeerError):
            parse_consistency_proof(bytes(flipped)).verify(LOG_KEY)


def test_a_forked_log_has_no_proof(folder: Path) -> None:
    other = sign_checkpoint(Checkpoint(origin=ORIGIN, size=200, root=bytes(32)), KEY)
    (folder / "seen").write_bytes(other)
    assert consistency(str(folder / "log"), "--from", str(folder / "seen")) == 1


def test_readers_of_a_log_see_its_entries(folder: Path) -> None:
    reader = AuditLogReader(FolderStore(folder / "log"))
    assert [each for _, each in reader.entries(0, 530)] == ENTRIES
    assert reader.entry(77) == ENTRIES[77]
    assert reader.checkpoints() == reader.stamped() == SIZES


def test_a_log_s_folder_can_be_learned_from(folder: Path) -> None:
    captured = list(read_captured(folder / "log"))
    assert [number for number, _ in captured] == list(range(530))
    assert [encode_entry(each) for _, each in captured] == ENTRIES


@pytest.mark.parametrize(("pruned", "told"), [(1, "not the first entry of a bundle"), (768, "there are 530")])
def test_a_log_that_says_it_was_pruned_where_it_cannot_have_been(
    folder: Path, pruned: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The number of pruned entries is not signed, and pruned entries are not checked."""
    change_bundle(folder / "log", edit, "000")
    shutil.rmtree(folder / "log" / "journal", ignore_errors=True)
    (folder / "log" / "pruned").write_text(f"{pruned}\n")
    assert fsck(folder) == 1
    assert told in capsys.readouterr().out
