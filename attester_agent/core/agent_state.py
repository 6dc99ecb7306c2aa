"""The state that the agent keeps between two pushes, and its encoding on disk.

Two different bodies never have the same ``sequence``. ``previous`` is the digest of the body with ``sequence - 1``, or
None if the next push must be full. Log entries from ``next_entries`` on are in no push yet. The replay of the
measurement logs and the sync proof are not kept: the agent rebuilds them from the logs and the TPM.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from attester_agent.core.handle_gate import AcceptedHandle
from attester_agent.core.transitions import KernelView, MachineState, transitions_between
from schemas.codecs import cbor
from schemas.codecs.fields import as_array, as_bytes, as_map, as_text, as_uint
from schemas.errors import PeerError
from schemas.hashes import BY_TPM_ID
from schemas.identifiers import HANDLE_ID_BYTES, HandleId, Ueid, parse_log_name, parse_ueid
from schemas.limits import MAX_CLAIMS, MAX_LOGS, MAX_PCR_INDEX, MAX_TRANSITIONS
from schemas.messages.evidence import (
    DIGEST_BYTES,
    ClaimValue,
    Transition,
    encode_transitions,
    parse_transitions,
)
from schemas.messages.solicit import Solicit
from schemas.reasons import Reason
from schemas.tpm.attest import MAX_NAME_BYTES
from schemas.tpm.pcr import PcrValues
from schemas.transitions import TransitionKind

MAX_VERIFIERS: Final = 16
MAX_STATE_BYTES: Final = 1024 * 1024

_FORMAT: Final = 1
_FORMAT_KEY, _UEID, _ENVIRONMENT, _SEQUENCE, _PREVIOUS, _BOOT, _CLAIMS, _PCRS = 0, 1, 2, 3, 4, 5, 6, 7
_NEXT_ENTRIES, _SINCE_FULL, _HANDLE, _SOLICITS, _MACHINE, _TRANSITIONS, _UNSENT = 8, 9, 10, 11, 12, 13, 14
_REQUIRED: Final = (_FORMAT_KEY, _UEID, _ENVIRONMENT, _SEQUENCE, _CLAIMS, _PCRS, _NEXT_ENTRIES, _SINCE_FULL, _SOLICITS)
_OPTIONAL: Final = (_PREVIOUS, _BOOT, _HANDLE, _MACHINE, _TRANSITIONS, _UNSENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentState:
    """Everything that must survive a restart.

    Attributes:
        ueid: this device.
        environment: TPM name of the attesting key; another key means another state.
        sequence: of the next push.
        previous: SHA-256 of the last body; None makes the next push full.
        boot: the TPM's reset count (as the attesting key signs it) at the last push; None before the first push.
        claims: all claims as of the last push.
        pcrs: values, as of the last push, of the PCRs that no measurement log explains.
        next_entries: by log name, the index of the first entry that no push holds yet; 0 for a log not named.
        since_full: complete pushes since the last full one.
        handle: the last accepted handle.
        solicits: by verifier, ``issued_us`` of the last solicit that was accepted.
        machine: kernel and TPM at the last push.
        transitions: the last ones of this boot; a full push repeats them, so a lost push loses no transition.
        unsent_transitions: how many of them, counted from the end, are in no push yet.
    """

    ueid: Ueid
    environment: bytes
    sequence: int = 0
    previous: bytes | None = None
    boot: int | None = None
    claims: Mapping[str, ClaimValue] = field(default_factory=dict)
    pcrs: PcrValues = field(default_factory=lambda: PcrValues({}))
    next_entries: Mapping[str, int] = field(default_factory=dict)
    since_full: int = 0
    handle: AcceptedHandle | None = None
    solicits: Mapping[str, int] = field(default_factory=dict)
    machine: MachineState | None = None
    transitions: tuple[Transition, ...] = ()
    unsent_transitions: int = 0


def require_baseline(state: AgentState) -> AgentState:
    """Makes the next push full, with all log entries from index 0 on."""
    return replace(state, previous=None, next_entries={}, since_full=0)


def on_boot(state: AgentState, boot: int) -> AgentState:
    """The state after the TPM reports the reset count ``boot``: a new boot requires a baseline."""
    return state if state.boot == boot else replace(require_baseline(state), boot=boot)


def on_machine_state(state: AgentState, machine: MachineState) -> AgentState:
    """Adds the machine's transitions since the last push. A reboot starts a new history."""
    new = transitions_between(state.machine, machine)
    before, unsent = state.transitions, state.unsent_transitions
    if state.machine is not None and state.machine.reset_count != machine.reset_count and not new:
        before, unsent = (), 0
    return _with_transitions(replace(state, machine=machine, transitions=before, unsent_transitions=unsent), new)


def on_outlived_list(state: AgentState, machine: MachineState) -> AgentState:
    """Adds a hibernation that the kernel's own data did not show: the IMA list holds more than the TPM's PCRs."""
    if any(each.kind is TransitionKind.HIBERNATE and each.reset_count == state.boot for each in state.transitions):
        return state
    found = Transition(
        kind=TransitionKind.HIBERNATE,
        clock_ms=machine.clock_ms,
        reset_count=machine.reset_count,
        restart_count=machine.restart_count,
    )
    return _with_transitions(state, (found,))


def _with_transitions(state: AgentState, new: tuple[Transition, ...]) -> AgentState:
    """Adds transitions. Of those for which there is no room any more, the last hibernation is kept."""
    history = (*state.transitions, *new)
    dropped = [each for each in history[:-MAX_TRANSITIONS] if each.kind is TransitionKind.HIBERNATE][-1:]
    history = (*dropped, *history[-MAX_TRANSITIONS:][len(dropped) :])
    unsent = min(len(history), state.unsent_transitions + len(new))
    return replace(state, transitions=history, unsent_transitions=unsent)


def on_solicit(state: AgentState, solicit: Solicit) -> AgentState:
    """Follows a solicit that ``solicit_gate`` accepted.

    A solicit can only make the agent send log entries again, never skip any: another verifier may not have them yet.
    """
    starts = {name: min(index, state.next_entries.get(name, 0)) for name, index in solicit.logs.items()}
    solicits = {**state.solicits, solicit.verifier: solicit.issued_us}
    newest = sorted(solicits, key=lambda verifier: solicits[verifier])[-MAX_VERIFIERS:]
    return replace(
        state,
        previous=None if solicit.full else state.previous,
        next_entries={**state.next_entries, **starts},
        solicits={verifier: solicits[verifier] for verifier in newest},
    )


def encode_state(state: AgentState) -> bytes:
    """The state as bytes."""
    items: dict[int, object] = {
        _FORMAT_KEY: _FORMAT,
        _UEID: state.ueid,
        _ENVIRONMENT: state.environment,
        _SEQUENCE: state.sequence,
        _CLAIMS: dict(state.claims),
        _PCRS: {bank.tpm_id: dict(state.pcrs.bank(bank)) for bank in state.pcrs.algorithms},
        _NEXT_ENTRIES: dict(state.next_entries),
        _SINCE_FULL: state.since_full,
        _SOLICITS: dict(state.solicits),
    }
    if state.previous is not None:
        items[_PREVIOUS] = state.previous
    if state.boot is not None:
        items[_BOOT] = state.boot
    if state.handle is not None:
        items[_HANDLE] = [state.handle.id, state.handle.time_us, state.handle.expires_us]
    if state.machine is not None:
        machine, kernel = state.machine, state.machine.kernel
        items[_MACHINE] = [
            *(machine.clock_ms, machine.reset_count, machine.restart_count),
            *(kernel.boot_id, kernel.suspends, kernel.asleep_ms),
        ]
    if state.transitions:
        items[_TRANSITIONS] = encode_transitions(state.transitions)
    if state.unsent_transitions:
        items[_UNSENT] = state.unsent_transitions
    return cbor.encode(items)


def decode_state(raw: bytes) -> AgentState:
    """The inverse of :func:`encode_state`.

    Raises:
        PeerError: ``malformed`` or ``too-large``: the bytes are damaged, or of another version of this software.
    """
    items = as_map(
        cbor.decode(raw, "agent state", max_bytes=MAX_STATE_BYTES),
        "agent state",
        required=_REQUIRED,
        optional=_OPTIONAL,
    )
    if items[_FORMAT_KEY] != _FORMAT:
        raise PeerError(Reason.MALFORMED, f"agent state: format {items[_FORMAT_KEY]!r}, this software knows {_FORMAT}")
    return AgentState(
        ueid=parse_ueid(as_bytes(items[_UEID], "state ueid")),
        environment=as_bytes(items[_ENVIRONMENT], "state environment", limit=MAX_NAME_BYTES),
        sequence=as_uint(items[_SEQUENCE], "state sequence"),
        previous=as_bytes(items[_PREVIOUS], "state previous", size=DIGEST_BYTES) if _PREVIOUS in items else None,
        boot=as_uint(items[_BOOT], "state boot") if _BOOT in items else None,
        claims=_decode_claims(items[_CLAIMS]),
        pcrs=_decode_pcrs(items[_PCRS]),
        next_entries={
            parse_log_name(as_text(name, "log name", limit=64)): as_uint(index, "next entry")
            for name, index in as_map(items[_NEXT_ENTRIES], "next entries", limit=MAX_LOGS).items()
        },
        since_full=as_uint(items[_SINCE_FULL], "state since full"),
        handle=_decode_handle(items[_HANDLE]) if _HANDLE in items else None,
        solicits={
            as_text(verifier, "verifier", limit=64): as_uint(issued_us, "solicit issued")
            for verifier, issued_us in as_map(items[_SOLICITS], "solicits", limit=MAX_VERIFIERS).items()
        },
        machine=_decode_machine(items[_MACHINE]) if _MACHINE in items else None,
        transitions=parse_transitions(items[_TRANSITIONS]) if _TRANSITIONS in items else (),
        unsent_transitions=as_uint(items[_UNSENT], "state untold", maximum=MAX_TRANSITIONS) if _UNSENT in items else 0,
    )


def _decode_machine(value: object) -> MachineState:
    clock_ms, reset_count, restart_count, boot_id, suspends, asleep_ms = as_array(value, "state seen", length=6)
    return MachineState(
        kernel=KernelView(
            boot_id=as_text(boot_id, "boot id", limit=64) if boot_id is not None else None,
            suspends=as_uint(suspends, "suspends") if suspends is not None else None,
            asleep_ms=as_uint(asleep_ms, "asleep") if asleep_ms is not None else None,
        ),
        clock_ms=as_uint(clock_ms, "seen clock"),
        reset_count=as_uint(reset_count, "seen reset count"),
        restart_count=as_uint(restart_count, "seen restart count"),
    )


def _decode_claims(value: object) -> dict[str, ClaimValue]:
    claims: dict[str, ClaimValue] = {}
    for name, claim in as_map(value, "state claims", limit=MAX_CLAIMS).items():
        if not isinstance(claim, str | int | bytes):
            raise PeerError(Reason.MALFORMED, f"state claim {name!r}: neither text, number, boolean nor bytes")
        claims[as_text(name, "claim name", limit=64)] = claim
    return claims


def _decode_pcrs(value: object) -> PcrValues:
    return PcrValues(
        {
            BY_TPM_ID[as_uint(tpm_id, "state PCR bank")]: {
                as_uint(index, "state PCR", maximum=MAX_PCR_INDEX): as_bytes(digest, "state PCR")
                for index, digest in as_map(bank, "state PCR bank").items()
            }
            for tpm_id, bank in as_map(value, "state PCRs").items()
            if tpm_id in BY_TPM_ID
        }
    )


def _decode_handle(value: object) -> AcceptedHandle:
    handle, time_us, expires_us = as_array(value, "state handle", length=3)
    return AcceptedHandle(
        id=HandleId(as_bytes(handle, "state handle", size=HANDLE_ID_BYTES)),
        time_us=as_uint(time_us, "state handle time"),
        expires_us=as_uint(expires_us, "state handle expiry"),
    )
