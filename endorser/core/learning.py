"""Learns reference values from a device's measurement logs, preferably together with a quote. Pure.

With a quote, learns only from logs that reproduce the device's last quote by its endorsed key. Without a quote nothing
proves the logs, so use them only from machines whose files nobody else can write.

Does not learn boot aggregates (verifiers compute them), SHA-1 digests (not allowed as reference values), violations,
and templates that are not built in (no PCR binds their content).
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from endorser.core.measurement_lines import DIGEST_SIZES
from endorser.core.working_set import WorkingSet, plain_path
from schemas.boot_log import records as boot_records
from schemas.cel import in_cbor as cel_cbor
from schemas.cel.records import ApplicationContent
from schemas.errors import ConfigError, PeerError, as_config_error
from schemas.hashes import HashAlgorithm
from schemas.ima import records as ima_records
from schemas.ima.formats import convert, detect_format
from schemas.ima.template import BOOT_AGGREGATE, BUILT_IN_TEMPLATES
from schemas.messages.endorsement import Endorsement
from schemas.messages.evidence import Evidence
from schemas.reasons import Reason
from schemas.replay.bank_replay import BankReplay
from schemas.replay.log_replay import IMA, TCG2, Consumed, Quoted, Replayed, ReplayState
from schemas.tpm.attest import Attest, AttestType, QuoteInfo, parse_attest
from schemas.tpm.pcr import STARTUP_LOCALITIES, PcrSelection, PcrValues, initial_value, selection_text
from schemas.tpm.pcr_properties import resettable_among
from schemas.tpm.signature import Signature, parse_signature, verify_signature

_FIRMWARE_PCRS: Final = range(8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """The learned values, and remarks for people: the source, and the entries that were left out."""

    values: WorkingSet
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Push:
    """A push whose quote, by the endorsed key, binds its body. Its PCR values and IMA entries are not verified yet."""

    evidence: Evidence
    attest: Attest
    quoted: QuoteInfo
    signature: Signature


@dataclass(slots=True)
class _Boot:
    """The unsigned parts of one boot's pushes, joined."""

    logs: dict[str, list[bytes]] = field(default_factory=dict)
    format: boot_records.BootLogFormat | None = None
    values: PcrValues = field(default_factory=lambda: PcrValues({}))


def learn_from_pushes(endorsement: Endorsement, pushes: Iterable[Evidence], selection: PcrSelection) -> Learned:
    """Learns from an attester's evidence.

    Args:
        endorsement: of the attester to learn from.
        pushes: captured evidence in any order, of any attesters; at least from one baseline on.
        selection: the PCRs to take; the quote must cover them.

    Raises:
        ConfigError: there is no evidence of this attester, entries are missing, or the logs do not reproduce the quote.
    """
    key, verified, refused = endorsement.attesting_key.public_key(), [], 0
    for evidence in pushes:
        if evidence.body.ueid != endorsement.ueid:
            continue
        try:
            push = _parse(evidence)
            verify_signature(key, push.signature, evidence.quote, Reason.QUOTE_SIGNATURE_INVALID)
            _check_bound(push, endorsement)
        except PeerError:
            refused += 1
            continue
        verified.append(push)
    if not verified:
        raise ConfigError(f"no evidence by the endorsed key of this attester ({refused} by other keys, or altered)")
    verified.sort(key=_when)
    last = verified[-1]
    resets = last.attest.clock_info.reset_count
    boot = _put_together([each for each in verified if each.attest.clock_info.reset_count == resets])
    outcome = _reproduce(boot, last)
    quoted = selection_text(last.quoted.pcr_selection)
    remarks = [
        f"learned from attester {endorsement.ueid.hex()}: its logs reproduce its quote of {quoted}",
        f"evidence {last.evidence.body_digest.hex()}, push {last.evidence.body.sequence}, reset count {resets}",
    ]
    if refused:
        remarks.append(f"{refused} pushes were left out: not by the endorsed key, or altered")
    registers = _registers(outcome.state, boot.values, selection, last.quoted.pcr_selection)
    remarks += [
        f"PCR {index} can be reset while the TPM runs: its value shows no history"
        for index in resettable_among(index for _, index in selection)
    ]
    files, left_out = _files(outcome.consumed, {index for _, index in last.quoted.pcr_selection})
    return Learned(values=WorkingSet(registers=registers, files=files), remarks=(*remarks, *left_out))


def learn_from_logs(logs: Mapping[str, bytes], selection: PcrSelection) -> Learned:
    """Learns from measurement log files without a quote.

    Args:
        logs: whole files: ``tcg2``, a boot log; ``ima``, an IMA list in any of the kernel's forms.
        selection: the PCRs to compute from the boot log.

    Raises:
        ConfigError: a log does not parse.
    """
    with as_config_error("log"):
        increments = dict(logs)
        if IMA in increments:
            raw = increments[IMA]
            increments[IMA] = b"".join(convert(raw, detect_format(raw)).records)
        if TCG2 in increments:
            increments[TCG2] = b"".join(boot_records.split_records(increments[TCG2]).records)
        banks = tuple(bank.algorithm for bank in selection.banks)
        outcome = BankReplay(ReplayState(banks=banks), increments).whole
    registers = {}
    if TCG2 in increments:
        registers = _registers(outcome.state, PcrValues({}), selection, selection)
    files, left_out = _files(outcome.consumed, None)
    remark = f"learned from {' and '.join(sorted(logs))} log files: no quote vouches for them"
    return Learned(values=WorkingSet(registers=registers, files=files), remarks=(remark, *left_out))


def _parse(evidence: Evidence) -> _Push:
    attest = parse_attest(evidence.quote)
    if attest.type is not AttestType.QUOTE or not isinstance(attest.attested, QuoteInfo):
        raise PeerError(Reason.ATTEST_TYPE_WRONG, "the quote is another attestation")
    signature = parse_signature(evidence.signature)
    return _Push(evidence=evidence, attest=attest, quoted=attest.attested, signature=signature)


def _check_bound(push: _Push, endorsement: Endorsement) -> None:
    """Checks that the quote binds the body, and the body the key and the digests of boot and CEL log increments.

    Raises:
        PeerError: something is not bound.
    """
    body = push.evidence.body
    if push.attest.extra_data != push.evidence.body_digest:
        raise PeerError(Reason.QUOTE_NOT_BOUND_TO_BODY, "the quote binds another body")
    if body.environment != endorsement.attesting_key.name:
        raise PeerError(Reason.ATTESTING_KEY_MISMATCH, "the body names another key")
    for name, increment in push.evidence.unsigned_increments.items():
        expected = body.increment_digests.get(name)
        if (expected is not None or name != IMA) and expected != hashlib.sha256(increment.records).digest():
            raise PeerError(Reason.LOG_NOT_BOUND_TO_BODY, f"log {name}: not the increment that was quoted")


def _when(push: _Push) -> tuple[int, int, int, int]:
    clock = push.attest.clock_info
    return clock.reset_count, clock.restart_count, clock.clock, push.evidence.body.sequence


def _put_together(pushes: Sequence[_Push]) -> _Boot:
    """Joins the log entries and PCR values of the pushes.

    Raises:
        ConfigError: entries are missing.
    """
    boot = _Boot()
    for push in pushes:
        body, sent = push.evidence.body, PcrValues(push.evidence.unsigned_pcrs)
        boot.values = sent if body.previous is None else boot.values.updated(sent)
        for name, increment in push.evidence.unsigned_increments.items():
            entries, start = boot.logs.setdefault(name, []), body.logs[name]
            if start > len(entries):
                raise ConfigError(
                    f"log {name}: entries {len(entries)} to {start - 1} are missing; capture from a baseline on, which "
                    "an agent sends when it starts"
                )
            with as_config_error(f"log {name}"):
                entries[start:] = _split(name, increment.records, boot, start)
    return boot


def _split(name: str, records: bytes, boot: _Boot, start: int) -> Sequence[bytes]:
    if name == IMA:
        return ima_records.split_records(records)[0]
    if name != TCG2:
        return cel_cbor.split_records(records)[0]
    found = boot_records.split_records(records, boot.format if start else None)
    boot.format = found.format
    return found.records


def _reproduce(boot: _Boot, last: _Push) -> Replayed:
    """Replays the logs up to the last quote.

    Raises:
        ConfigError: they do not reproduce the quote.
    """
    selection = last.quoted.pcr_selection
    banks = tuple(bank.algorithm for bank in selection.banks)
    quoted = Quoted(selection=selection, digest=last.quoted.pcr_digest, algorithm=last.signature.hash)
    increments = {name: b"".join(entries) for name, entries in boot.logs.items() if entries}
    with as_config_error("this device's logs do not parse"):
        outcome = BankReplay(ReplayState(banks=banks), increments).until(quoted, boot.values)
    if outcome is None:
        raise ConfigError(
            "this device's logs and PCR values do not reproduce its quote: nothing is learned from it. Is the capture "
            "complete, up to the last push?"
        )
    return outcome


def _registers(
    state: ReplayState, values: PcrValues, selection: PcrSelection, quoted: PcrSelection
) -> dict[HashAlgorithm, dict[int, frozenset[bytes]]]:
    registers: dict[HashAlgorithm, dict[int, frozenset[bytes]]] = {}
    for bank, index in selection:
        if (bank, index) not in quoted:
            raise ConfigError(f"--pcrs: {bank.name}:{index} is not in this device's quote")
        value = state.registers.get(bank, {}).get(index) or values.get(bank, index)
        found = value or initial_value(bank, index, state.startup_locality)
        registers.setdefault(bank, {})[index] = frozenset({found})
    for bank, learned in registers.items():
        _check_extended(bank, learned)
    return registers


def _check_extended(bank: HashAlgorithm, registers: Mapping[int, frozenset[bytes]]) -> None:
    """Refuses a bank that the firmware leaves alone: anybody can extend the values of any other device into it.

    The firmware always measures its own version into PCR 0. Where PCR 0 is not taken, one extended PCR of the firmware
    is enough.
    """
    taken = [index for index in ([0] if 0 in registers else _FIRMWARE_PCRS) if index in registers]
    first = {initial_value(bank, 0, locality) for locality in STARTUP_LOCALITIES}
    if taken and all(registers[index] <= first for index in taken):
        raise ConfigError(
            f"--pcrs: the firmware of this device extended nothing in bank {bank.name}: such values are those of no "
            "device. Choose a bank in which the firmware measures"
        )


def _files(consumed: Mapping[str, Consumed], quoted: set[int] | None) -> tuple[dict[bytes, str], list[str]]:
    """Digests of files in IMA lists and CEL logs, and a remark about entries that were left out.

    Args:
        consumed: the entries, by log.
        quoted: the PCRs that a quote binds; entries of other PCRs are left out. None takes all PCRs.
    """
    files: dict[bytes, str] = {}
    left_out = 0
    part = consumed.get(IMA)
    if part is not None and part.ima is not None:
        for template, file in zip(part.ima.template_names, part.ima.files(part.count), strict=False):
            if file.path == BOOT_AGGREGATE:
                continue
            usable = template in BUILT_IN_TEMPLATES and file.digest is not None and len(file.digest) in DIGEST_SIZES
            if file.digest is None or not usable or (quoted is not None and file.pcr_index not in quoted):
                left_out += 1
                continue
            files.setdefault(file.digest, plain_path(file.path.decode("utf-8", "backslashreplace")))
    for name, log in consumed.items():
        for record in log.cel:
            if isinstance(record.content, ApplicationContent) and (quoted is None or record.pcr in quoted):
                files.setdefault(record.content.digest, plain_path(f"{record.content.name} ({name})"))
    remark = f"{left_out} entries were left out: violations, SHA-1, templates that are not built in, PCRs not quoted"
    return files, [remark] if left_out else []
