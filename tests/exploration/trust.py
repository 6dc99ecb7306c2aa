"""The real trust store after any order of deliveries and restarts.

A trust store changes in place. So each of its states is made by replaying its deliveries on a new one, once.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from typing_extensions import override

from schemas.errors import PeerError
from schemas.identifiers import HandleId
from schemas.reasons import Reason
from schemas.topics import TopicKind
from tests.exploration.scope import Message, Scope
from verifier_worker.adapters.loaded_files import compile_policy
from verifier_worker.adapters.trust_store import TrustStore
from verifier_worker.core.policy.in_force import Policies
from verifier_worker.ports import TrustObjects


@dataclass
class MemoryObjects(TrustObjects):
    """Stored trust objects in memory."""

    objects: dict[tuple[str, bytes], bytes] = field(default_factory=dict)

    @override
    def load_trust(self) -> Sequence[tuple[str, bytes]]:
        return [(kind, raw) for (kind, _), raw in self.objects.items()]

    @override
    def save_trust(self, kind: str, key: bytes, raw: bytes, keep_until_us: int) -> None:
        self.objects[kind, key] = raw

    @override
    def prune_trust(self, now_us: int) -> None:
        pass


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustState:
    """One state of a trust store.

    Attributes:
        key: everything in it that can matter.
        store: in this state; not to be changed.
        history: how it came about: each message that was accepted, or None for a restart, with its time.
        given: all objects that were ever accepted, by name.
        views: keys of the trust in force, once computed.
    """

    key: bytes
    store: TrustStore
    history: tuple[tuple[Message | None, int], ...]
    given: Mapping[str, Message]
    views: dict[tuple[int, bytes], bytes] = field(default_factory=dict)


class Trusts:
    """Makes states of a trust store."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._made: dict[tuple[bytes, str, int], tuple[TrustState, Reason | None]] = {}
        self._by_key: dict[bytes, TrustState] = {}

    def first(self) -> TrustState:
        """With the objects that are given from the start."""
        return self._build(tuple((message, self._scope.time_us(0)) for message in self._scope.given))[0]

    def after(self, before: TrustState, message: Message | None, waits: int) -> tuple[TrustState, Reason | None]:
        """After one more delivery (None: a restart), and why it was refused, if it was."""
        index = before.key, message.name if message is not None else "", waits
        if index not in self._made:
            made, refused = self._build((*before.history, (message, self._scope.time_us(waits))))
            self._made[index] = self._by_key.setdefault(made.key, made), refused
        return self._made[index]

    def _build(self, history: tuple[tuple[Message | None, int], ...]) -> tuple[TrustState, Reason | None]:
        objects, refused = MemoryObjects(), None
        store, given = self._open(objects), {}
        kept: list[tuple[Message | None, int]] = []
        for message, now_us in history:
            refused = None
            if message is None:
                store = self._open(objects)
                store.load(now_us)
                store.trust(now_us)
                kept.append((None, now_us))
                continue
            try:
                is_new = store.accept(message.kind, message.topic, message.payload, now_us, retained=True)
            except PeerError as error:
                refused = error.reason
                continue
            finally:
                store.trust(now_us)  # what it computes only when asked
            if is_new:
                given[message.name] = message
                kept.append((message, now_us))
        state = TrustState(key=_key(store, objects), store=store, history=tuple(kept), given=given)
        return state, refused

    def _open(self, objects: MemoryObjects) -> TrustStore:
        return TrustStore(
            objects,
            endorsers=self._scope.endorsers,
            distributors=self._scope.mint.keys,
            stamps=self._scope.stamps,
            policies=Policies(self._scope.policy, compile_policy),
            on_trial=True,  # without statements of what is current
        )


def _key(store: TrustStore, objects: MemoryObjects) -> bytes:
    """A digest of what the store has in force, remembers as replaced, and has on disk."""
    merged = [
        (names, each.label, each.missing, sorted(each.narrower), sorted(each.ended.items()))
        for names, each in sorted(store._merged.items())
    ]
    facts = (
        sorted((kind, key, hashlib.sha256(raw).digest()) for (kind, key), raw in objects.objects.items()),
        sorted((str(kind), key, digest) for (kind, key), digest in store._current_digests.items()),
        sorted(store._seen),
        sorted(store._handles.by_id),
        store._handles.newest,
        merged,
    )
    return hashlib.sha256(repr(facts).encode()).digest()


def newest(state: TrustState, kind: TopicKind) -> Message | None:
    """The object of the greatest version that the verifier was given."""
    of_kind = [message for message in state.given.values() if message.kind == kind]
    return max(of_kind, key=lambda message: message.truth.version, default=None)


def knows_handle(state: TrustState, handle: HandleId | str) -> bool:
    """Whether the verifier was given this handle."""
    return handle in state.given


def view_key(state: TrustState, now_us: int, scope: Scope) -> bytes:
    """Names the trust in force, as the decisions read it."""
    index = now_us, scope.ueid
    if index not in state.views:
        view = state.store.trust(now_us, scope.ueid)
        key, references = view.endorsed.get(scope.ueid), view.references
        facts = (
            key.endorsement if key is not None else None,
            sorted(view.handles),
            view.newest,
            view.policy.label if view.policy is not None else "",
            (references.label, references.missing, sorted(references.narrower), sorted(references.ended.items())),
        )
        state.views[index] = hashlib.sha256(repr(facts).encode()).digest()
    return state.views[index]
