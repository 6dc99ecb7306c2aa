"""The entries that a verifier adds to its audit log at each start: its trust anchors, its own policy, the start.

Anchors and policy are written if they differ from the last ones written, which the database remembers. An empty audit
log always gets them, together with the objects in force.
"""

import hashlib
from collections.abc import Iterator
from typing import Final

from schemas.audit.anchors import Anchors, Start, encode_anchors, encode_start, public_der
from schemas.audit.entry import ANCHORS, LOCAL_POLICY, START
from schemas.messages.trust_objects import TRUST_OBJECTS
from verifier_worker.adapters.build import BUILD
from verifier_worker.adapters.loaded_files import LoadedFiles
from verifier_worker.core.state_codec import VERSION
from verifier_worker.ports import StateStore
from verifier_worker.settings import Settings

_FOREVER_US: Final = 2**62


def opening_entries(
    settings: Settings, files: LoadedFiles, store: StateStore, *, log_is_new: bool
) -> Iterator[tuple[str, bytes]]:
    """Kind and content of each entry, in order. Saves new anchors and policy with the next transaction.

    Args:
        settings: of the worker.
        files: loaded by these settings.
        store: the worker's database.
        log_is_new: the audit log has no entry.

    Raises:
        WorldError: ``store-unavailable``.
    """
    stored = list(store.load_trust())
    objects = [(kind, raw) for kind, raw in stored if kind in TRUST_OBJECTS]
    written = {} if log_is_new else {kind: raw for kind, raw in stored if kind not in TRUST_OBJECTS}
    anchors, policy = encode_anchors(_anchors(settings, files)), files.policy_text
    for kind, raw in ((ANCHORS, anchors), (LOCAL_POLICY, policy)):
        if raw is not None and written.get(kind) != raw:
            store.save_trust(kind, b"", raw, _FOREVER_US)
            yield kind, raw
    if log_is_new:
        yield from objects
    start = Start(
        anchors=hashlib.sha256(anchors).digest(),
        policy=hashlib.sha256(policy).digest() if policy is not None else None,
        attesters=store.attesters(),
        objects=sum(not TRUST_OBJECTS[kind].expires for kind, _ in objects),
    )
    yield START, encode_start(start)


def _anchors(settings: Settings, files: LoadedFiles) -> Anchors:
    return Anchors(
        verifier=settings.name,
        build=BUILD,
        result_format=settings.result_format,
        key=public_der(files.key.public_key()),
        endorsers=tuple(map(public_der, files.endorsers.values())),
        distributors=tuple(map(public_der, files.distributors.values())),
        tsa_roots=files.stamps.roots,
        tsa_intermediates=files.stamps.intermediates,
        state_version=VERSION,
        scopes=files.scopes,
    )
