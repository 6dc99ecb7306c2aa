"""Has checkpoints stamped by a Time Stamp Authority (RFC 3161).

Then nobody, not even the holder of the audit log's key, can backdate a checkpoint. Only the newest checkpoint is
stamped, so the stamps' times grow with the sizes. A checkpoint that got no stamp is covered by the next one, which
extends it.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

from runtime.audit_log.log_reader import AuditLogReader, checkpoint_path, stamp_path
from runtime.audit_log.store import AuditLogStore
from runtime.clock import random_bytes
from runtime.time_stamps.client import HttpTimeStampAuthority
from schemas.codecs.tst_info import extract_tst_info, parse_tst_info
from schemas.errors import PeerError, WorldError
from schemas.reasons import Reason
from schemas.tlog.signed_note import MAX_NOTE_BYTES

_NONCE_BYTES: Final = 8


class CheckpointStamper:
    """Owned by the sequencer's thread."""

    def __init__(self, store: AuditLogStore, authorities: Sequence[HttpTimeStampAuthority]) -> None:
        """Finds the newest stamp.

        Args:
            store: of the audit log.
            authorities: asked in this order until one answers; if empty, nothing is stamped.

        Raises:
            WorldError: ``store-unavailable``.
        """
        self._store, self._authorities = store, authorities
        stamped = AuditLogReader(store).stamped()
        self.stamped_size = stamped[-1] if stamped else 0
        self.stamped_us = self._time_us(self.stamped_size)

    def stamp(self, size: int) -> bool:
        """Has the checkpoint of this size stamped, unless it has a stamp; returns whether it got one now.

        Raises:
            WorldError: the last TSA's failure; call it again, with the newest size.
        """
        if size <= self.stamped_size or not self._authorities:
            return False
        signed = self._store.read(checkpoint_path(size), max_bytes=MAX_NOTE_BYTES)
        if signed is None:
            raise WorldError(Reason.STORE_UNAVAILABLE, f"{self._store.name}: {checkpoint_path(size)} is missing")
        imprint = hashlib.sha256(signed).digest()
        problems = []
        for authority in self._authorities:
            try:
                stamp = authority.stamp(imprint, int.from_bytes(random_bytes(_NONCE_BYTES), "big"))
            except WorldError as error:
                problems.append(error)
                continue
            self._store.write(stamp_path(size), stamp.token)
            self.stamped_size, self.stamped_us = size, stamp.info.gen_time_us
            return True
        raise problems[-1]

    def _time_us(self, size: int) -> int | None:
        token = AuditLogReader(self._store).stamp(size) if size else None
        try:
            return parse_tst_info(extract_tst_info(token)).gen_time_us if token is not None else None
        except PeerError:
            return None
