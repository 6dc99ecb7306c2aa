"""What a statement of what is current costs: at 100,000 endorsed devices, with many of them withdrawn."""

import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec

from endorser.adapters.registry import Registry
from schemas.codecs import cose
from schemas.messages.key_scope import EVERYTHING
from schemas.messages.trust_statement import TrustStatement, sign_statement, verify_statement
from verifier_worker.core.statements import Statements

V = TypeVar("V")
_NOW_S = 1_800_000_000


def measure_statements(devices: int) -> str:
    """A table: bytes, and milliseconds to read the registry, to sign, to verify (and the decoder alone), to take it."""
    head = "statement of what is current    bytes  registry ms  sign ms  verify ms  (decoder alone)  take ms"
    return "\n".join([head, *(_row(devices, withdrawn) for withdrawn in (0, devices // 100, devices // 10))])


def _row(devices: int, withdrawn: int) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    keys = {cose.key_id(key.public_key()): key.public_key()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "registry.db"
        Registry(path).close()
        _fill(path, devices, withdrawn)
        with closing(Registry(path)) as registry:
            read_ms, found = _timed(lambda: registry.withdrawals(_NOW_S))
    assert len(found) == withdrawn
    statement = TrustStatement(
        issuer="endorser", number=_NOW_S, issued_s=_NOW_S, not_after_s=_NOW_S + 86_400, withdrawn=found
    )
    sign_ms, raw = _timed(lambda: sign_statement(statement, key))
    verify_ms, verified = _timed(lambda: verify_statement(raw, keys))
    payload = cose.parse(raw, "s", max_bytes=len(raw)).unverified_payload
    floor_ms, _ = _timed(lambda: cbor2.loads(payload))
    statements = Statements(lambda _: EVERYTHING)
    take_ms, new = _timed(lambda: statements.take(verified))
    assert len(new) == withdrawn
    name = f"{devices:,} devices, {withdrawn:,} withdrawn"
    return f"{name:28} {len(raw):8,} {read_ms:12.1f} {sign_ms:8.1f} {verify_ms:10.1f} {floor_ms:16.1f} {take_ms:8.1f}"


def _fill(path: Path, devices: int, withdrawn: int) -> None:
    """Puts devices into a registry; the first ones are revoked."""
    with closing(sqlite3.connect(path)) as database, database:
        for number in range(devices):
            ueid, standing = b"\x01" + number.to_bytes(32, "big"), "revoked" if number < withdrawn else "admitted"
            database.execute("INSERT INTO device (ueid, standing) VALUES (?, ?)", (ueid, standing))
            row = (ueid, _NOW_S - 1000, bytes(34), bytes(120), _NOW_S + 10**7, bytes(900))
            database.execute("INSERT INTO endorsement VALUES (?, ?, ?, ?, NULL, ?, ?, 1)", row)
            database.execute(
                "INSERT INTO record (at_s, ueid, action, who, detail) VALUES (?, ?, ?, 'operator', '')",
                (_NOW_S - 500, ueid, standing),
            )


def _timed(work: Callable[[], V]) -> tuple[float, V]:
    """Milliseconds, and what was made."""
    started_s = time.perf_counter()
    made = work()
    return (time.perf_counter() - started_s) * 1000, made
