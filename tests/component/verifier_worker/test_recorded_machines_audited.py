"""What real machines sent (``tests/vectors/vm``), through a worker into a log: derived again, proven, checked."""

import hashlib
from pathlib import Path

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from relying_party.audit.proof_check import Answer, ProofTrust, check_proof
from relying_party.commands.audit.prove import assemble, choose, stamps_of
from runtime.audit_log.any_log import read_entries
from runtime.audit_log.frames import FrameFile
from runtime.audit_log.log_reader import stamp_path
from runtime.keys import load_public_keys
from runtime.time_stamps.verifier import TimeStampVerifier, load_time_stamp_verifier
from schemas.audit.entry import EvidenceEntry, ObjectEntry, parse_entry
from schemas.audit.proof import encode_proof, parse_proof
from schemas.codecs import cose
from schemas.messages.key_scope import KeyScope
from schemas.messages.trust_objects import TRUST_OBJECTS
from schemas.messages.trust_statement import Listed, TrustStatement, sign_statement
from schemas.topics import TopicKind, Topics
from schemas.verdicts import Tier
from tests.builders.recorded_machine import RECORDINGS
from tests.builders.token_forge import ForgedAuthority
from tests.fakes.log_store import LOG_KEY, LogRig
from tests.fakes.verifier import FakePublisher
from tests.worlds.recorded_verifier import rederived
from verifier_worker.adapters.loaded_files import LoadedFiles, compile_local_policy, compile_policy
from verifier_worker.adapters.solicitor import Identity
from verifier_worker.adapters.state_store import SqliteStateStore
from verifier_worker.adapters.trust_store import TrustStore
from verifier_worker.audit.opening_entries import opening_entries
from verifier_worker.core.policy.in_force import Policies
from verifier_worker.settings import Settings, TrustSettings
from verifier_worker.worker import Received, Worker

TOPICS = Topics()


STATES = generate_private_key(SECP256R1())


def files_of(vectors: Path, text: bytes) -> LoadedFiles:
    """The keys and roots that the recorded verifier trusted."""
    recorded_keys = load_public_keys([vectors / "endorser.pub"])
    return LoadedFiles(
        key=generate_private_key(SECP256R1()),
        endorsers={**recorded_keys, cose.key_id(STATES.public_key()): STATES.public_key()},
        scopes=dict.fromkeys(
            recorded_keys, KeyScope(kinds=frozenset({TopicKind.ENDORSEMENTS, TopicKind.REFERENCE_VALUES}))
        ),
        distributors=load_public_keys([vectors / "distributor.pub"]),
        stamps=load_time_stamp_verifier([vectors / "tsa-root.pem"]),
        policy=compile_local_policy(text),
        policy_text=text,
    )


def statement_of(golden: bytes, now_s: int) -> bytes:
    """A key of ours states what is in force; the recorded endorser's key may only endorse and sign sets."""
    statement = TrustStatement(
        issuer="endorser",
        number=now_s,
        issued_s=now_s,
        not_after_s=now_s + 86_400,
        reference_values={"golden": Listed(0, hashlib.sha256(golden).digest())},
    )
    return sign_statement(statement, STATES)


def recorded(vectors: Path, folder: Path) -> list[bytes]:
    """The log of a worker that hears a recording."""
    messages = cbor2.loads((vectors / "messages.cbor").read_bytes())
    text = (vectors / "policy.toml").read_bytes()
    files = files_of(vectors, text)
    store, audit = SqliteStateStore(folder / "state.db"), FrameFile(folder / "audit.log")
    trust = TrustStore(
        store,
        endorsers=files.endorsers,
        distributors=files.distributors,
        stamps=files.stamps,
        policies=Policies(files.policy, compile_policy),
        scopes=files.scopes,
    )
    worker = Worker(
        Identity(name="v1", key=files.key, topics=TOPICS),
        store,
        audit,
        FakePublisher(),
        trust=trust.trust,
        solicit_interval_s=3600,
        cached_states=10,
    )
    nobody = TrustSettings(endorser_keys=(), distributor_keys=(), tsa_roots=())
    settings = Settings(name="v1", trust=nobody, signing_key=folder, database=folder, audit_log=folder)
    first_us = messages[0][1]

    def record(kind: str, raw: bytes, received_us: int) -> None:
        worker.record([ObjectEntry(received_us=received_us, kind=kind, raw=raw)])
        worker.settle()

    for kind, raw in list(opening_entries(settings, files, store, log_is_new=True)):
        record(kind, raw, first_us)
    trust.trust(first_us)
    golden = (vectors / "golden.corim").read_bytes()
    stated = statement_of(golden, first_us // 1_000_000)
    for kind, raw in ((TopicKind.REFERENCE_VALUES, golden), (TopicKind.STATEMENTS, stated)):
        trust.accept(kind, None, raw, first_us)
        record(kind, raw, first_us)
    for topic, received_us, payload in messages:
        topic_kind, name = TOPICS.kind_of(topic), topic.rpartition("/")[2]
        if topic_kind is not None and topic_kind in TRUST_OBJECTS:
            raw = TRUST_OBJECTS[topic_kind].unwrap(payload)
            if trust.accept(topic_kind, name, raw, received_us, retained=True):
                record(topic_kind, raw, received_us)
            continue
        worker.process([Received(ueid_text=name, payload=payload, received_us=received_us)])
        worker.settle()
    audit.close()
    store.close()
    return [raw for _, raw in read_entries(folder / "audit.log")]


@pytest.mark.parametrize("vectors", RECORDINGS, ids=[path.name for path in RECORDINGS])
def test_a_real_machines_results_are_derived_again(vectors: Path, tmp_path: Path) -> None:
    found = rederived(recorded(vectors, tmp_path))
    assert found.problems == []
    assert found.counts.results > 2
    assert found.counts.underivable == 0


def proven(vectors: Path, folder: Path, entries: list[bytes]) -> tuple[Answer, int]:
    """Every push under a stamped checkpoint of its own; asked about the time between the last two."""
    authority, rig = ForgedAuthority.make(), LogRig(folder)
    parsed = [parse_entry(raw) for raw in entries]
    pushes = [
        index for index, each in enumerate(parsed) if isinstance(each, EvidenceEntry) and each.payload is not None
    ]
    rig.write(entries, *(index + 1 for index in pushes))
    for index in pushes:
        note = rig.reader.checkpoint_at(index + 1)
        stamp = authority.token(hashlib.sha256(note).digest(), parsed[index].received_us + 10_000)
        rig.store.write(stamp_path(index + 1), stamp)
    last = parsed[pushes[-1]]
    assert isinstance(last, EvidenceEntry)
    at_us = parsed[pushes[-2]].received_us + 2_000_000
    _, choice = choose(rig.reader, last.ueid, at_us, stamps_of(rig.reader))
    proof = assemble(rig.reader, last.ueid, at_us, choice)
    roots = authority.root.pem + b"\n" + (vectors / "tsa-root.pem").read_bytes()
    trust = ProofTrust(log_key=LOG_KEY, stamps=TimeStampVerifier(roots))
    return check_proof(parse_proof(encode_proof(proof)), trust), at_us


@pytest.mark.parametrize("vectors", RECORDINGS, ids=[path.name for path in RECORDINGS])
def test_a_real_machines_logs_are_replayed_from_a_proof(vectors: Path, tmp_path: Path) -> None:
    answer, at_us = proven(vectors, tmp_path, recorded(vectors, tmp_path))
    assert answer.before is not None
    assert answer.before.stamped_us is not None
    assert answer.before.stamped_us <= at_us
    listing = answer.before.listing
    assert listing.entries == dict(answer.before.result.logs)
    assert answer.before.result.status is Tier.AFFIRMING
    assert (
        listing.files > 100
    )  # a whole Debian's start, each file found in the reference values as the verifier found it
    assert listing.listed + listing.signed == listing.files
    assert listing.registers_listed == listing.registers >= 10
