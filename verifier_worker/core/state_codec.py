"""The stored form of an attester's state: deterministic CBOR with a version.

A stored state of another version, or one that does not parse, reads as absent. The attester is then asked for a
baseline, which is slower but never wrong.
"""

from typing import Any, Final

from schemas.boot_log import records as boot_records
from schemas.boot_log.facts import BootFacts, SecureBoot
from schemas.codecs import cbor
from schemas.errors import PeerError
from schemas.hashes import BY_TPM_ID
from schemas.identifiers import HandleId
from schemas.ima.records import ImaBankMode
from schemas.messages.evidence import Transition, encode_transitions, parse_transitions
from schemas.messages.result import Rejections
from schemas.reasons import Reason
from schemas.replay.log_replay import ReplayState
from schemas.time_model import ClockAnchor
from schemas.tpm.pcr import PcrValues, encode_selection, parse_selection
from schemas.verdicts import Freshness, Tier, TrustClaim
from verifier_worker.core.accounted import Accounted
from verifier_worker.core.clock_record import ClockRecord
from verifier_worker.core.finding import Finding
from verifier_worker.core.lasting import Lasting
from verifier_worker.core.state import AttesterState, Measured, SyncPoint, Verdict

VERSION: Final = 8
_MAX_BYTES: Final = 1024 * 1024


def encode_state(state: AttesterState) -> bytes:
    """The stored form."""
    replay, verdict = state.replay, state.verdict
    rejections, sync, clock = state.rejections, state.sync, state.clock
    return cbor.encode(
        [
            VERSION,
            [state.environment, state.reset_count, state.restart_count, state.clock_ms],
            [state.sequence, state.evidence, state.envelope, state.chained],
            [
                *(sync.digest, sync.handle, sync.clock_ms, sync.reset_count, sync.restart_count),
                *(sync.time_ms, sync.stamped_before_us),
            ],
            [
                [bank.tpm_id for bank in replay.banks],
                {bank.tpm_id: mode for bank, mode in replay.ima_bank_modes.items()},
                {bank.tpm_id: dict(values) for bank, values in replay.registers.items()},
                dict(replay.next_index),
                replay.boot_log_format.encode() if replay.boot_log_format is not None else None,
                replay.startup_locality,
                {bank.tpm_id: dict(values) for bank, values in replay.padded.items()},
            ],
            [state.settled, encode_selection(state.selection), state.unsettled_us],
            {bank.tpm_id: dict(state.unlogged.bank(bank)) for bank in state.unlogged.algorithms},
            [dict(state.tails), dict(state.claims)],
            _encode_measured(state.measured),
            _encode_lasting(state.lasting),
            [
                verdict.status,
                verdict.freshness,
                list(verdict.reasons),
                {int(k): v for k, v in verdict.vector.items()},
                dict(verdict.verified_claims),
            ],
            [state.received_us, state.received_after, state.made_after_us, state.made_before_us, state.deadline_us],
            [
                *(_encode_anchor(clock.first), _encode_anchor(clock.last), _encode_anchor(clock.timed)),
                *(list(clock.rate_ppm) if clock.rate_ppm is not None else None, clock.suspect),
                *(state.clock_safe, state.handle_time_us, state.went_back, state.firmware_version),
                list(clock.suspect_ppm) if clock.suspect_ppm is not None else None,
            ],
            [rejections.count, rejections.last, rejections.last_us] if rejections is not None else None,
            [encode_transitions(state.transitions), _encode_accounted(state.accounted)],
            encode_state(state.earlier) if state.earlier is not None else None,
        ]
    )


def decode_state(raw: bytes) -> AttesterState | None:
    """The state that :func:`encode_state` stored; None for anything else."""
    try:
        items: Any = cbor.decode(raw, "stored state", max_bytes=_MAX_BYTES)
        return _decode(items) if items[0] == VERSION else None
    except (PeerError, KeyError, IndexError, TypeError, ValueError):
        return None


def _decode(items: Any) -> AttesterState:  # noqa: ANN401 our own bytes; anything that does not fit raises
    (_, identity, chain, sync, replay, settled, unlogged, logs, measured, lasting, verdict, *last) = items
    times, clock, rejections, transitions, earlier = last
    status, freshness, reasons, vector, verified_claims = verdict
    return AttesterState(
        environment=identity[0],
        reset_count=identity[1],
        restart_count=identity[2],
        clock_ms=identity[3],
        sequence=chain[0],
        evidence=chain[1],
        envelope=chain[2],
        chained=chain[3],
        sync=_decode_sync(sync),
        replay=_decode_replay(replay),
        settled=settled[0],
        unsettled_us=settled[2],
        selection=parse_selection(settled[1]),
        unlogged=PcrValues({BY_TPM_ID[bank]: values for bank, values in unlogged.items()}),
        tails=logs[0],
        claims=logs[1],
        measured=_decode_measured(measured),
        lasting=_decode_lasting(lasting),
        verdict=Verdict(
            status=Tier(status),
            freshness=Freshness(freshness),
            reasons=tuple(Reason(reason) for reason in reasons),
            vector={TrustClaim(claim): value for claim, value in vector.items()},
            verified_claims=verified_claims,
        ),
        received_us=times[0],
        received_after=HandleId(times[1]) if times[1] is not None else None,
        made_after_us=times[2],
        made_before_us=times[3],
        deadline_us=times[4],
        clock=_decode_clock(clock),
        clock_safe=clock[5],
        handle_time_us=clock[6],
        went_back=clock[7],
        firmware_version=clock[8],
        rejections=Rejections(count=rejections[0], last=rejections[1], last_us=rejections[2]) if rejections else None,
        transitions=_decode_transitions(transitions[0]),
        accounted=_decode_accounted(transitions[1]),
        earlier=_decode_earlier(earlier),
    )


def _decode_sync(items: Any) -> SyncPoint:  # noqa: ANN401 as above
    digest, handle, clock_ms, reset_count, restart_count, time_ms, stamped_before_us = items
    return SyncPoint(
        digest=digest,
        handle=HandleId(handle),
        clock_ms=clock_ms,
        reset_count=reset_count,
        restart_count=restart_count,
        time_ms=time_ms,
        stamped_before_us=stamped_before_us,
    )


def _decode_clock(items: Any) -> ClockRecord:  # noqa: ANN401 as above
    return ClockRecord(
        first=_decode_anchor(items[0]),
        last=_decode_anchor(items[1]),
        timed=_decode_anchor(items[2]),
        rate_ppm=(items[3][0], items[3][1]) if items[3] is not None else None,
        suspect=Reason(items[4]) if items[4] is not None else None,
        suspect_ppm=(items[9][0], items[9][1]) if items[9] is not None else None,
    )


def _encode_anchor(anchor: ClockAnchor | None) -> list[int | None] | None:
    return [anchor.clock_ms, anchor.after_us, anchor.before_us, anchor.time_ms] if anchor is not None else None


def _decode_anchor(items: Any) -> ClockAnchor | None:  # noqa: ANN401 as above
    if items is None:
        return None
    clock_ms, after_us, before_us, time_ms = items
    return ClockAnchor(clock_ms=clock_ms, after_us=after_us, before_us=before_us, time_ms=time_ms)


def _decode_replay(items: Any) -> ReplayState:  # noqa: ANN401 as above
    banks, modes, registers, next_index, boot_log_format, locality, padded = items
    return ReplayState(
        banks=tuple(BY_TPM_ID[bank] for bank in banks),
        ima_bank_modes={BY_TPM_ID[bank]: ImaBankMode(mode) for bank, mode in modes.items()},
        registers={BY_TPM_ID[bank]: values for bank, values in registers.items()},
        next_index=next_index,
        boot_log_format=boot_records.decode_format(boot_log_format) if boot_log_format is not None else None,
        startup_locality=locality,
        padded={BY_TPM_ID[bank]: values for bank, values in padded.items()},
    )


def _encode_measured(measured: Measured) -> list[object]:
    return [
        measured.label,
        [[*register, *names] for register, names in measured.owners.items()],
        [list(item) for item in measured.unexpected],
        [measured.unexpected_total, measured.excluded],
        measured.violations,
        [
            *(measured.aggregate_differs, measured.aggregate_unverified),
            [list(each) for each in measured.aggregates],
            list(measured.first_aggregate) if measured.first_aggregate is not None else None,
        ],
        _encode_boot(measured.boot),
        list(measured.accepted),
        [list(measured.seen), measured.any_file],
    ]


def _decode_measured(items: Any) -> Measured:  # noqa: ANN401 as above
    label, owners, unexpected, (unexpected_total, excluded), violations, aggregate, boot, accepted, shown = items
    aggregate_differs, aggregate_unverified, aggregates, first_aggregate = aggregate
    seen, any_file = shown
    return Measured(
        label=label,
        owners={(bank, index): tuple(names) for bank, index, *names in owners},
        unexpected=tuple((digest, path) for digest, path in unexpected),
        unexpected_total=unexpected_total,
        excluded=excluded,
        violations=violations,
        boot=_decode_boot(boot),
        aggregate_differs=aggregate_differs,
        aggregate_unverified=aggregate_unverified,
        aggregates=tuple((name, digest) for name, digest in aggregates),
        first_aggregate=(first_aggregate[0], first_aggregate[1]) if first_aggregate is not None else None,
        accepted=tuple(accepted),
        seen=tuple(seen),
        any_file=any_file,
    )


def _encode_lasting(lasting: Lasting) -> list[object]:
    findings = [[each.reason, each.detail, each.digest] for each in lasting.findings]
    return [findings, sorted(lasting.more), lasting.more_label, lasting.of_earlier_boot, lasting.outlived_tpm]


def _decode_lasting(items: Any) -> Lasting:  # noqa: ANN401 as above
    findings, more, more_label, of_earlier_boot, outlived_tpm = items
    return Lasting(
        findings=tuple(
            Finding(reason=Reason(reason), detail=detail, digest=digest) for reason, detail, digest in findings
        ),
        more=frozenset(Reason(reason) for reason in more),
        more_label=more_label,
        of_earlier_boot=of_earlier_boot,
        outlived_tpm=outlived_tpm,
    )


def _decode_transitions(items: Any) -> tuple[Transition, ...]:  # noqa: ANN401 as above
    return parse_transitions(items) if items else ()


def _encode_accounted(accounted: Accounted) -> list[object]:
    return [
        *(accounted.until, sorted(accounted.reported), accounted.judged, accounted.judged_ms),
        encode_transitions(accounted.repeatable),
    ]


def _decode_accounted(items: Any) -> Accounted:  # noqa: ANN401 as above
    until, reported, judged, judged_ms, repeatable = items
    return Accounted(
        until=until,
        reported=frozenset(reported),
        judged=judged,
        judged_ms=judged_ms,
        repeatable=_decode_transitions(repeatable),
    )


def _decode_earlier(raw: Any) -> AttesterState | None:  # noqa: ANN401 as above
    if raw is None:
        return None
    state = decode_state(raw)
    if state is None:
        raise ValueError
    return state


def _encode_boot(boot: BootFacts) -> list[object]:
    return [
        [boot.version, boot.versions, boot.version_ended],
        [list(boot.images), boot.images_total, boot.images_unknown],
        [boot.secure_boot_value, boot.secure_boot_broken, boot.secure_boot_ended, boot.test_keys],
        boot.load_options,
    ]


def _decode_boot(items: Any) -> BootFacts:  # noqa: ANN401 as above
    (version, versions, version_ended), (images, images_total, images_unknown), secure_boot, load_options = items
    value, broken, ended, test_keys = secure_boot
    return BootFacts(
        version=version,
        versions=versions,
        version_ended=version_ended,
        images=tuple(images),
        images_total=images_total,
        images_unknown=images_unknown,
        secure_boot_value=SecureBoot(value),
        secure_boot_broken=broken,
        secure_boot_ended=ended,
        test_keys=test_keys,
        load_options=load_options,
    )
