"""Evidence that no agent would make: the device's key signs any body, over any logs and values."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from schemas.cel import in_cbor as cel_cbor
from schemas.cel.records import CelRecord, SystemdContent
from schemas.hashes import HashAlgorithm
from schemas.messages.evidence import Evidence, LogIncrement, PcrBanks
from tests.worlds.device import FakeDevice


def push_of(device: FakeDevice, increments: Mapping[str, LogIncrement], pcrs: PcrBanks, **changes: object) -> Evidence:
    """A full push with these unsigned parts, and a body with these changes, quoted by the device's key."""
    device.previous = None
    body = device.push().body
    digests = {name: hashlib.sha256(each.records).digest() for name, each in increments.items() if name != "ima"}
    fields = {
        "logs": dict.fromkeys(increments, 0),
        "increment_digests": digests,
        "sequence": device.sequence,
        **changes,
    }
    return device.sign(replace(body, **fields), increments, pcrs)  # type: ignore[arg-type]  # fields by name


def listed(*records: bytes) -> LogIncrement:
    """All entries of a log."""
    return LogIncrement(records=b"".join(records), total=len(records))


def cel_record(number: int, pcr: int, *digests: tuple[HashAlgorithm, bytes]) -> bytes:
    """A CEL record that extended these banks; nothing in it says what was measured."""
    banks = tuple((bank.tpm_id, digest) for bank, digest in digests)
    return cel_cbor.encode_record(CelRecord(recnum=number, pcr=pcr, digests=banks, content=SystemdContent(string="x")))


def template_digest(record: bytes) -> bytes:
    """What the kernel extended SHA-256 with, for an ``ima-ng`` entry."""
    return hashlib.sha256(record[28 + len("ima-ng") + 4 :]).digest()
