"""What ``./run vm --record`` wrote (``tests/vectors/vm``), replayed through the verifier's transition."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cbor2

from runtime.keys import load_public_keys
from runtime.time_stamps.verifier import load_time_stamp_verifier
from schemas import media_types
from schemas.codecs import cmw
from schemas.identifiers import Ueid
from schemas.media_types import Indicator
from schemas.messages.evidence import Evidence, parse_evidence
from schemas.messages.trust_objects import TRUST_OBJECTS
from schemas.topics import TopicKind, Topics
from verifier_worker.adapters.loaded_files import compile_policy, load_policy
from verifier_worker.adapters.trust_store import TrustStore
from verifier_worker.audit.policy_trial import DiscardedObjects
from verifier_worker.core.policy.in_force import Policies
from verifier_worker.core.state import AttesterState
from verifier_worker.core.step import Step, step

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "vm"
RECORDINGS = tuple(sorted(path.parent for path in VECTORS.glob("*/messages.cbor")))
_TOPICS = Topics()


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """One push and what it did. ``number`` counts all messages, as ``acts.json`` does."""

    number: int
    evidence: Evidence
    taken: Step

    @property
    def state(self) -> AttesterState:
        assert self.taken.state is not None
        return self.taken.state


def acts(folder: Path) -> dict[str, int]:
    """How many messages had been heard when an act was over, by its name."""
    return {each["act"]: each["messages"] for each in json.loads((folder / "acts.json").read_text())}


def pushes(folder: Path) -> list[Evidence]:
    """All evidence, in the order of receipt."""
    return [
        parse_evidence(cmw.unwrap(payload, media_types.EVIDENCE, Indicator.EVIDENCE))
        for topic, _, payload in cbor2.loads((folder / "messages.cbor").read_bytes())
        if _TOPICS.kind_of(topic) is TopicKind.EVIDENCE
    ]


def replay(folder: Path, policy: Path | None = None) -> Iterator[Replayed]:
    """Every push through ``step``, with the trust of that moment, under the folder's policy or another."""
    trust = TrustStore(
        DiscardedObjects(),
        endorsers=load_public_keys([folder / "endorser.pub"]),
        distributors=load_public_keys([folder / "distributor.pub"]),
        stamps=load_time_stamp_verifier([folder / "tsa-root.pem"]),
        policies=Policies(load_policy(policy or folder / "policy.toml"), compile_policy),
        on_trial=True,
    )
    messages = cbor2.loads((folder / "messages.cbor").read_bytes())
    trust.accept(TopicKind.REFERENCE_VALUES, "golden", (folder / "golden.corim").read_bytes(), messages[-1][1])
    states: dict[Ueid, AttesterState] = {}
    for number, (topic, received_us, payload) in enumerate(messages):
        kind = _TOPICS.kind_of(topic)
        if kind is not None and kind in TRUST_OBJECTS:
            raw = TRUST_OBJECTS[kind].unwrap(payload)
            trust.accept(kind, topic.rpartition("/")[2], raw, received_us, retained=True)
            continue
        ueid = _TOPICS.ueid_of(topic)
        evidence = parse_evidence(cmw.unwrap(payload, media_types.EVIDENCE, Indicator.EVIDENCE))
        taken = step(states.get(ueid), ueid, evidence, received_us, trust.trust(received_us, ueid))
        if taken.state is not None:
            states[ueid] = taken.state
        yield Replayed(number=number, evidence=evidence, taken=taken)
