"""One verifier: the real ``decide_push``, ``decide_handle``, ``decide_silence``, trust store and state codec.

The decisions are pure: for equal states, messages and trust they are asked once and remembered.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from schemas.messages.result import AttestationResult
from schemas.reasons import Reason
from schemas.topics import TopicKind
from tests.exploration.scope import Message, Scope
from tests.exploration.trust import Trusts, TrustState, newest, view_key
from verifier_worker.core import decision
from verifier_worker.core.state import AttesterState
from verifier_worker.core.state_codec import decode_state, encode_state


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What really happened so far at a verifier: for the invariants, not for the verifier.

    Attributes:
        push: the newest push that it accepted; -1 for none.
        found: digests of unlisted files that a settled quote of this boot has shown it.
        boot: the boot of the newest push.
    """

    push: int = -1
    found: frozenset[bytes] = frozenset()
    boot: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The attester's state at a verifier, and a key: equal keys behave equally."""

    state: AttesterState | None
    key: bytes


NOTHING = Kept(state=None, key=b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A verifier at one moment."""

    waits: int
    kept: Kept
    trust: TrustState
    known: Known = Known()

    @property
    def key(self) -> tuple[object, ...]:
        """Equal keys behave equally."""
        return self.waits, self.kept.key, self.trust.key, self.known


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A delivery, a restart, or (neither) silence until the deadline has passed."""

    words: str
    message: Message | None = None
    restart: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """An event and its effect.

    Attributes:
        event: the event.
        after: the verifier then.
        refused: why it refused the message, if it did.
        duplicate: it knew the message already.
        results: what it published.
        problem: what the verifier itself cannot see: a refusal that changed something, a restart that did.
    """

    event: Event
    after: Node
    refused: Reason | None = None
    duplicate: bool = False
    results: tuple[AttestationResult, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    kept: Kept
    refused: Reason | None = None
    duplicate: bool = False
    result: AttestationResult | None = None
    problem: str = ""


class Verifier:
    """Takes a verifier from one moment to the next."""

    def __init__(self, scope: Scope, *, waits: int = 1, name: str = "verifier") -> None:
        self.scope, self.waits, self.name = scope, waits, name
        self._trusts = Trusts(scope)
        self._judged: dict[tuple[bytes, str, bytes, int], _Judged] = {}
        self._kept: dict[bytes, Kept] = {}
        self._after_restart: dict[bytes, Kept] = {}

    def first(self) -> Node:
        """Has never heard of the device, and knows what is given from the start."""
        return Node(waits=0, kept=NOTHING, trust=self._trusts.first())

    def events(self, at: Node) -> Iterator[Event]:
        """Everything that can happen next."""
        for message in self.scope.messages:
            yield Event(words=f"is given {message.name}", message=message)
        yield Event(words="restarts", restart=True)
        if at.waits < self.waits:
            yield Event(words="waits in vain until after the deadline")

    def apply(self, at: Node, event: Event) -> Outcome:
        """One event."""
        if event.restart:
            trust, _ = self._trusts.after(at.trust, None, at.waits)
            return Outcome(event=event, after=replace(at, kept=self._restarted(at.kept), trust=trust))
        if event.message is None:
            return self._wait(at, event)
        if event.message.kind == TopicKind.EVIDENCE:
            return self._push(at, event, event.message)
        return self._object(at, event, event.message)

    # -- evidence ------------------------------------------------------------------------------------------------------

    def _push(self, at: Node, event: Event, message: Message) -> Outcome:
        judged = self._judge(at.kept, message, at.trust, at.waits)
        problem = judged.problem
        twin = self._judge(self._restarted(at.kept), message, at.trust, at.waits)
        if (twin.refused, twin.duplicate, twin.result) != (judged.refused, judged.duplicate, judged.result):
            problem = problem or "a verifier that restarts before it says something else"
        if message.altered and judged.result is not None and self._is_settled(judged):
            genuine = next(each for each in self.scope.messages if each.body == message.body)
            if self._judge(at.kept, genuine, at.trust, at.waits).result != judged.result:
                problem = problem or "what nobody signed stands in a result"
        known = at.known if judged.result is None else self._learned(at, judged.kept.state, message)
        return Outcome(
            event=event,
            after=replace(at, kept=judged.kept, known=known),
            refused=judged.refused,
            duplicate=judged.duplicate,
            results=(judged.result,) if judged.result is not None else (),
            problem=problem,
        )

    @staticmethod
    def _is_settled(judged: _Judged) -> bool:
        return judged.kept.state is not None and judged.kept.state.is_settled_by_last_push

    def _judge(self, kept: Kept, message: Message, trust: TrustState, waits: int) -> _Judged:
        now_us = self.scope.time_us(waits)
        index = kept.key, message.name, view_key(trust, now_us, self.scope), waits
        if index in self._judged:
            return self._judged[index]
        view = trust.store.trust(now_us, self.scope.ueid)
        try:
            taken = decision.decide_push(self.scope.ueid, kept.state, message.payload, now_us, view, self.name)
        except Exception as error:  # noqa: BLE001 whatever it is: nothing that an attester sends may raise
            return _Judged(kept=kept, problem=f"the verifier raises {error!r}")
        if isinstance(taken, decision.Decision):
            made = _Judged(kept=self._keep(taken.state), result=replace(taken.result, rejections=None))
        else:
            same = taken.state == kept.state or (
                taken.state is not None
                and kept.state is not None
                and taken.refused is not None
                and replace(taken.state, rejections=kept.state.rejections) == kept.state
            )
            made = _Judged(
                kept=kept if same else self._keep(taken.state),
                refused=taken.refused.reason if taken.refused is not None else None,
                duplicate=taken.duplicate,
                problem="" if same else "a message that was refused or known changed the state",
            )
        self._judged[index] = made
        return made

    def _learned(self, at: Node, state: AttesterState | None, message: Message) -> Known:
        truth, known = message.truth, at.known
        found = known.found if truth.boot == known.boot else frozenset()
        if state is not None and state.is_settled_by_last_push:
            values = newest(at.trust, TopicKind.REFERENCE_VALUES)
            found = (found | truth.ran) - (values.truth.files if values is not None else frozenset())
        else:
            found = known.found
        return Known(push=truth.push, found=found, boot=max(truth.boot, known.boot))

    # -- everything else -----------------------------------------------------------------------------------------------

    def _object(self, at: Node, event: Event, message: Message) -> Outcome:
        trust, refused = self._trusts.after(at.trust, message, at.waits)
        if trust is at.trust:
            return Outcome(event=event, after=at, refused=refused, duplicate=refused is None)
        problem = "" if refused is None else "an object that was refused changed the trust store"
        after = replace(at, trust=trust)
        if at.kept.state is None or message.kind != TopicKind.HANDLES:
            return Outcome(event=event, after=after, refused=refused, problem=problem)
        now_us = self.scope.time_us(at.waits)
        view = trust.store.trust(now_us, self.scope.ueid)
        resolved = decision.decide_handle(self.scope.ueid, at.kept.state, now_us, view, self.name)
        if resolved is None:
            return Outcome(event=event, after=after, refused=refused, problem=problem)
        after = replace(after, kept=self._keep(resolved.state))
        return Outcome(event=event, after=after, results=(resolved.result,), problem=problem)

    def _wait(self, at: Node, event: Event) -> Outcome:
        """Time goes on; a deadline that passed is noticed at once."""
        moved = replace(at, waits=at.waits + 1)
        if at.kept.state is None:
            return Outcome(event=event, after=moved)
        now_us = self.scope.time_us(moved.waits)
        view = at.trust.store.trust(now_us, self.scope.ueid)
        late = decision.decide_silence(self.scope.ueid, at.kept.state, now_us, view, self.name)
        if late is None:
            return Outcome(event=event, after=moved)
        return Outcome(event=event, after=replace(moved, kept=self._keep(late.state)), results=(late.result,))

    def _restarted(self, kept: Kept) -> Kept:
        """What is on disk is all that is left."""
        if kept.state is None or kept.state.appraised is None:
            return kept
        if kept.key not in self._after_restart:
            self._after_restart[kept.key] = self._keep(decode_state(encode_state(kept.state)))
        return self._after_restart[kept.key]

    def _keep(self, state: AttesterState | None) -> Kept:
        if state is None:
            return NOTHING
        appraised = state.appraised
        findings = None if appraised is None else (appraised.references, appraised.findings)
        facts = encode_state(_that_matters(state)), findings
        key = hashlib.sha256(repr(facts).encode()).digest()
        return self._kept.setdefault(key, Kept(state=state, key=key))


def _that_matters(state: AttesterState) -> AttesterState:
    """The state without what decides nothing.

    That is the count of refusals, and which of several unsigned parts with the same effect came with the last push: the
    ones that did not come are judged again from the state before, to the same effect.
    """
    earlier = _that_matters(state.earlier) if state.earlier is not None else None
    return replace(state, rejections=None, envelope=b"", earlier=earlier)
