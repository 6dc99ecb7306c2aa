"""Builds one push: the body before the quote, then the evidence and the agent's next state.

* The deltas of claims and PCR values since the last full push add up to the current values. A full push
  (``previous`` absent) has all of them.
* Every log entry is in exactly one push, provided the caller stores the new state together with the push.
* IMA entries are chosen after the quote, which decides how many of them are covered; the body signs only the index of
  the first. Boot and CEL log entries are the exception: no PCR binds all of their bytes, so they are chosen before the
  quote and the body signs their digest. Boot logs do not grow while the agent runs; new CEL entries go into the next
  push.
* IMA entries wait until the whole boot log was sent: the first IMA entry is about PCRs that the boot log explains.
* A claim that vanished is sent once, as empty text. After the next full push it is absent.
"""

import hashlib
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from attester_agent.core.agent_state import AgentState, require_baseline
from attester_agent.core.log_window import Coverage, Entries, choose_entries
from schemas.codecs import cmw
from schemas.media_types import EVIDENCE, Indicator
from schemas.messages.evidence import (
    VANISHED,
    ClaimValue,
    Evidence,
    EvidenceBody,
    LogIncrement,
    SyncProof,
    encode_body,
    encode_evidence,
)
from schemas.replay.log_replay import IMA
from schemas.tpm.pcr import PcrSelection, PcrValues

_FRAME_BYTES: Final = 256  # CBOR heads, names of logs and the CMW record; everything else is counted exactly
_PCR_BYTES: Final = 72  # SHA-512 with its heads
_QUOTE_BYTES: Final = 1024  # more than a quote and its signature ever take


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A body before its quote.

    Attributes:
        state: before this push.
        body, raw_body: parsed and encoded.
        digest: SHA-256 of ``raw_body``, the quote's qualifyingData.
        claims: all current claims.
        bound: by log name, the records whose digest the body signs.
    """

    state: AgentState
    body: EvidenceBody
    raw_body: bytes
    digest: bytes
    claims: Mapping[str, ClaimValue]
    bound: Mapping[str, tuple[bytes, ...]]

    @property
    def full(self) -> bool:
        """Whether claims and PCR values must be complete."""
        return self.body.previous is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """TPMS_ATTEST and TPMT_SIGNATURE as the TPM made them."""

    attest: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """One push, ready to be stored and published.

    Attributes:
        payload: the CMW record.
        state: of the agent once this push is stored.
        full: it is a full push.
        complete: no covered log entry waits for a later push.
        behind: the measurement logs already had entries that the quote does not cover.
        sequence: of its body.
        sent: by log, how many entries this push and the earlier ones hold.
        totals: by log, how many entries the quote covers.
    """

    payload: bytes
    state: AgentState
    full: bool
    complete: bool
    behind: bool
    sequence: int
    sent: Mapping[str, int]
    totals: Mapping[str, int]


def draft_body(
    state: AgentState,
    sync: SyncProof,
    claims: Mapping[str, ClaimValue],
    logs: Iterable[str],
    early: Mapping[str, Entries],
    *,
    selection: PcrSelection,
    max_bytes: int,
    sync_stamp: bytes | None = None,
) -> Draft:
    """Writes the body of the next push.

    Args:
        state: of this boot (``agent_state.on_boot``).
        sync: proof of synchronisation with the handle this push is bound to.
        claims: all claims as they are now.
        logs: names of this device's measurement logs.
        early: by name, entries of boot and CEL logs from ``state.next_entries`` on, read before the quote.
        selection: the PCRs that will be quoted.
        max_bytes: aim for the payload.
        sync_stamp: a TSA's token over the sync proof; None leaves it out.
    """
    full = state.previous is None
    unsent = state.transitions[len(state.transitions) - state.unsent_transitions :]
    body = EvidenceBody(
        ueid=state.ueid,
        sync=sync,
        environment=state.environment,
        sequence=state.sequence,
        previous=state.previous,
        claims=dict(claims) if full else changed_claims(state.claims, claims),
        logs={name: state.next_entries.get(name, 0) for name in sorted(logs)},
        transitions=state.transitions if full else unsent,
        sync_stamp=sync_stamp,
    )
    room = max_bytes - len(encode_body(body)) - _QUOTE_BYTES - len(tuple(selection)) * _PCR_BYTES - _FRAME_BYTES
    bound = choose_entries(early, body.logs, {name: entries.end for name, entries in early.items()}, room)
    digests = {name: hashlib.sha256(b"".join(records)).digest() for name, records in bound.items()}
    body = replace(body, increment_digests=digests)
    raw = encode_body(body)
    return Draft(
        state=state,
        body=body,
        raw_body=raw,
        digest=hashlib.sha256(raw).digest(),
        claims=dict(claims),
        bound=bound,
    )


def start_of_push(state: AgentState, *, baseline_every: int) -> AgentState:
    """Requires a baseline after ``baseline_every`` complete pushes without one; 0 never does."""
    return require_baseline(state) if baseline_every and state.since_full >= baseline_every else state


def is_bound_log(name: str) -> bool:
    """Whether the body must sign the digest of this log's increments."""
    return name.partition("/")[0] != IMA


def changed_claims(before: Mapping[str, ClaimValue], now: Mapping[str, ClaimValue]) -> dict[str, ClaimValue]:
    """The claims that are new or different, and :data:`VANISHED` for those that are gone."""
    # Booleans equal integers in Python, so types are compared too.
    changed = {name: value for name, value in now.items() if name not in before or not _same(before[name], value)}
    gone = {name: VANISHED for name, value in before.items() if name not in now and not _same(value, VANISHED)}
    return changed | gone


def finish_push(
    draft: Draft,
    quote: Quote,
    coverage: Coverage,
    logs: Mapping[str, Entries],
    values: PcrValues,
    *,
    selection: PcrSelection,
    max_bytes: int,
) -> Push:
    """Puts the quote together with the body, PCR values and log entries.

    Args:
        draft: the body whose digest was quoted.
        quote: of that digest.
        coverage: how far the quote reaches into the logs.
        logs: by name, entries that contain all from the body's starts to the coverage's totals.
        values: PCRs as read after the quote.
        selection: the PCRs that were quoted.
        max_bytes: aim for the payload; only a single record larger than this makes it longer.
    """
    unlogged = unexplained(values, selection, coverage)
    pcrs = unlogged if draft.full else unlogged.changes_since(draft.state.pcrs)
    fixed = len(draft.raw_body) + len(quote.attest) + len(quote.signature) + len(pcrs) * _PCR_BYTES + _FRAME_BYTES
    starts = draft.body.logs
    chosen = _add_free(draft, logs, coverage, max_bytes - fixed)
    ends = {name: starts[name] + len(chosen.get(name, ())) for name in starts}
    totals = {name: max(end, coverage.totals.get(name, 0)) for name, end in ends.items()}
    increments = {
        name: LogIncrement(records=b"".join(chosen.get(name, ())), total=total)
        for name, total in totals.items()
        if total > starts[name]
    }
    evidence = Evidence(
        body=draft.body,
        raw_body=draft.raw_body,
        quote=quote.attest,
        signature=quote.signature,
        unsigned_pcrs={bank: pcrs.bank(bank) for bank in pcrs.algorithms},
        unsigned_increments=increments,
    )
    complete = ends == totals
    return Push(
        payload=cmw.wrap(EVIDENCE, encode_evidence(evidence), Indicator.EVIDENCE),
        state=replace(
            draft.state,
            sequence=draft.state.sequence + 1,
            previous=draft.digest,
            claims=draft.claims,
            pcrs=pcrs if draft.full else draft.state.pcrs.updated(pcrs),
            next_entries={**draft.state.next_entries, **ends},
            unsent_transitions=0,
            since_full=0 if draft.full else draft.state.since_full + complete,
        ),
        full=draft.full,
        complete=complete,
        behind=any(entries.end > coverage.totals[name] for name, entries in logs.items()),
        sequence=draft.body.sequence,
        sent=ends,
        totals=totals,
    )


def _add_free(
    draft: Draft, logs: Mapping[str, Entries], coverage: Coverage, room: int
) -> Mapping[str, tuple[bytes, ...]]:
    """The records chosen before the quote; once those logs are sent completely, also as many IMA entries as fit."""
    starts, bound = draft.body.logs, draft.bound
    if any(
        starts[name] + len(bound.get(name, ())) < coverage.totals.get(name, 0) for name in starts if is_bound_log(name)
    ):
        return bound
    free = {name: entries for name, entries in logs.items() if not is_bound_log(name)}
    left = room - sum(map(len, itertools.chain.from_iterable(bound.values())))
    return {**bound, **choose_entries(free, starts, coverage.totals, left, at_least_one=not bound)}


def unexplained(values: PcrValues, selection: PcrSelection, coverage: Coverage) -> PcrValues:
    """The quoted PCRs that no covered log entry has extended. Evidence carries these values."""
    owned = coverage.replay.registers
    return PcrValues(
        {
            bank.algorithm: {
                index: digest
                for index, digest in values.bank(bank.algorithm).items()
                if index in bank.indices and index not in owned.get(bank.algorithm, {})
            }
            for bank in selection.banks
        }
    )


def _same(left: ClaimValue, right: ClaimValue) -> bool:
    return type(left) is type(right) and left == right
