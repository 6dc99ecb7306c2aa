"""The checks of ``attester-agent doctor``: everything that the agent needs, from the device outwards.

Changes nothing: makes no key, publishes nothing, leaves no session on the broker. A check that cannot run after an
earlier finding reports so.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from attester_agent.adapters.loaded_files import check_files, load_stamper, load_trust
from attester_agent.core.handle_gate import ClockTrust, accept_handle
from attester_agent.core.trust import Trust
from attester_agent.logs.kernel_logs import open_measurement_logs
from attester_agent.ports import Identity
from attester_agent.settings import Settings
from attester_agent.tpm.device import TpmDevice
from runtime import clock
from runtime.durable import check_folder_of, sole_user
from runtime.keys import load_public_keys
from runtime.mqtt import Message, MqttConnection, Session
from runtime.service import Stop
from runtime.settings import naming
from schemas import media_types
from schemas.codecs import cmw
from schemas.errors import AttestreamError, ConfigError, PeerError, WorldError
from schemas.identifiers import ueid_text
from schemas.instants import SECOND_US
from schemas.media_types import Indicator
from schemas.messages.endorsement import verify_endorsement
from schemas.messages.handle import Handle, verify_handle
from schemas.reasons import Reason
from schemas.replay.log_replay import IMA
from schemas.topics import TopicKind
from schemas.tpm.pcr import PcrSelection

PATIENCE_S: Final = 5.0
_DEVICE: Final = "device:"
_ONE_ENTRY: Final = 1


class Grade(StrEnum):
    """How bad a finding is: with ``fail`` verifiers cannot trust this device, with ``warn`` perhaps not."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one check.

    Attributes:
        grade: how bad it is.
        check: name of the check.
        seen: the observation.
        todo: advice; empty if there is nothing to do.
    """

    grade: Grade
    check: str
    seen: str
    todo: str = ""

    @property
    def text(self) -> str:
        """One line, and a second one with the advice if there is any."""
        line = f"{self.grade:4}  {self.check}: {self.seen}"
        return f"{line}\n      → {self.todo}" if self.todo else line


@dataclass(slots=True, kw_only=True)
class _Known:
    """What the checks have learned so far; each check adds what later ones need."""

    settings: Settings
    endorser_keys: Sequence[Path]
    stop: Stop
    trust: Trust | None = None
    identity: Identity | None = None
    messages: list[Message] = field(default_factory=list)
    subscribed: bool = False


def examine(settings: Settings, endorser_keys: Sequence[Path], stop: Stop) -> Iterator[Finding]:
    """Runs all checks in order and yields each finding at once.

    Args:
        settings: of the agent.
        endorser_keys: files of public keys; if empty, the endorsement's signature is not checked.
        stop: ends waiting.
    """
    known = _Known(settings=settings, endorser_keys=endorser_keys, stop=stop)
    for check in CHECKS:
        yield from check(known)


def _files(known: _Known) -> Iterator[Finding]:
    try:
        known.trust = load_trust(known.settings)
        load_stamper(known.settings)
    except ConfigError as error:
        yield _fail("keys and roots", error, "put the file there, readable by the agent's user, or correct the setting")
        return
    found = known.trust
    seen = f"{len(found.distributors)} distributor, {len(found.verifiers)} verifier keys"
    if found.verifiers:
        yield _ok("keys and roots", seen)
    else:
        yield Finding(
            grade=Grade.WARN,
            check="keys and roots",
            seen=seen,
            todo="without trust.verifier_keys no verifier can ask for log entries again; set them, or "
            "evidence.baseline_every",
        )


def _state(known: _Known) -> Iterator[Finding]:
    path = known.settings.state
    try:
        check_folder_of(path, "state")
    except ConfigError as error:
        user = f"uid {os.geteuid()}"
        yield _fail("state", error, f"make the folder and give it to the agent's user (this is {user})")
        return
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        yield Finding(
            grade=Grade.FAIL,
            check="state",
            seen=f"{path}: uid {os.geteuid()} may not read and write it",
            todo=f"run this command as the agent's user, or: chown USER {path}",
        )
        return
    try:
        with sole_user(path, "state"):
            yield _ok("state", f"{path}; no agent runs on it")
    except ConfigError:
        yield _ok("state", f"{path}; an agent runs on it")


def _logs(known: _Known) -> Iterator[Finding]:
    settings = known.settings.logs
    if settings.tcg2 is None and settings.ima is None and not settings.cel:
        yield Finding(
            grade=Grade.WARN,
            check="logs",
            seen="none configured; verifiers see PCR values, but not the measurements behind them",
            todo="set logs.tcg2 and logs.ima to the kernel's files in /sys/kernel/security",
        )
    for log in open_measurement_logs(tcg2=settings.tcg2, ima=settings.ima, cel=settings.cel):
        check = f"log {log.name}"
        if not log.exists:
            yield Finding(
                grade=Grade.FAIL if not log.name.startswith("cel") else Grade.WARN,
                check=check,
                seen="the file does not exist",
                todo="mount securityfs on /sys/kernel/security, check that kernel and firmware have it (a boot loader "
                "that skips the kernel's EFI stub, as grub 2.06's linux without Secure Boot, loses the boot log), or "
                "take the log out of [logs]",
            )
            continue
        try:
            count = len(log.read(0).records)
        except WorldError as error:
            yield _fail(
                check,
                error,
                "let the agent's user read it: chgrp attestream FILE (the systemd unit does that at each start, as the "
                "kernel resets it at each boot)",
            )
            continue
        if log.name == IMA and count <= _ONE_ENTRY:
            yield Finding(
                grade=Grade.WARN,
                check=check,
                seen=f"{count} entries: the kernel measures no files",
                todo="load an IMA policy: ima_policy=tcb on the kernel's command line, or /etc/ima/ima-policy",
            )
        elif log.is_lost_on_resume:
            yield Finding(
                grade=Grade.WARN,
                check=check,
                seen=f"{count} entries, of a PCR that can be reset while the TPM runs: they show no history",
                todo="measure into PCRs 8, 9 or 11 to 15; or the verifier's policy must state resettable = true for it",
            )
        else:
            yield _ok(check, f"{count} entries")


def _tpm(known: _Known) -> Iterator[Finding]:
    settings = known.settings.tpm
    if settings.tcti.startswith(_DEVICE):
        path = Path(settings.tcti.removeprefix(_DEVICE))
        if not path.exists():
            todo = (
                "switch the TPM 2.0 on in the firmware's settings; is the kernel's driver loaded (dmesg | grep -i tpm)?"
            )
            yield Finding(grade=Grade.FAIL, check="tpm", seen=f"{path} does not exist", todo=todo)
            return
        if not os.access(path, os.R_OK | os.W_OK):
            todo = "add the agent's user to group tss: usermod -aG tss USER (rules of the package tpm-udev)"
            yield Finding(grade=Grade.FAIL, check="tpm", seen=f"{path}: uid {os.geteuid()} may not open it", todo=todo)
            return
    device = TpmDevice(settings, pause=known.stop.wait)
    try:
        with device.registers() as registers:
            lifetime = registers.pcr_lifetime()
            missing = _missing_banks(known.settings.evidence.selection, set(registers.read(0)))
        known.identity = device.find_identity()
    except AttestreamError as error:
        yield _fail("tpm", error, "see docs/threat-model.md for the code; does another program hold the TPM?")
        return
    yield _ok("tpm", f"answers; reset {lifetime.reset_count}, restart {lifetime.restart_count}")
    if missing:
        todo = "choose another bank in evidence.pcrs, or allocate it: tpm2_pcrallocate, then reboot"
        seen = f"{', '.join(missing)}: not active in this TPM"
        yield Finding(grade=Grade.FAIL, check="PCR bank", seen=seen, todo=todo)
    if known.identity is None:
        todo = "attester-agent enrol --config … --endorser-key … (or: attester-agent provision)"
        seen = f"none at {settings.ak_handle:#x}"
        yield Finding(grade=Grade.FAIL, check="attesting key", seen=seen, todo=todo)
    else:
        yield _ok("attesting key", f"{settings.ak_handle:#x}, of {ueid_text(known.identity.ueid)}")


def _missing_banks(wanted: PcrSelection, active: set[object]) -> list[str]:
    return [bank.algorithm.name for bank in wanted.banks if bank.algorithm not in active]


def _broker(known: _Known) -> Iterator[Finding]:
    mqtt = known.settings.mqtt
    topics = mqtt.topics
    filters = [topics.all_handles]
    if known.identity is not None:
        filters.append(topics.endorsements(known.identity.ueid))
    session = Session(client_id=f"doctor-{clock.random_bytes(6).hex()}", subscriptions=tuple(filters))
    where = f"{mqtt.host}:{mqtt.port}"
    try:
        connection = MqttConnection(mqtt, session, on_message=known.messages.append)
    except ConfigError as error:
        yield _fail("broker", error, "correct table [mqtt]")
        return
    connection.start()
    try:
        known.subscribed = connection.wait_subscribed(PATIENCE_S)
        if known.subscribed:
            known.stop.wait(1.0)  # the broker sends retained messages right after the subscription
    finally:
        connection.stop()
    if known.subscribed:
        yield _ok("broker", f"{where} accepts subscriptions")
    else:
        todo = "does it run, does a firewall block it, are user, password and certificates of [mqtt] right?"
        seen = f"{where}: no subscription within {PATIENCE_S:g} s"
        yield Finding(grade=Grade.FAIL, check="broker", seen=seen, todo=todo)


def _handle(known: _Known) -> Iterator[Finding]:
    if not known.subscribed or known.trust is None:
        yield Finding(grade=Grade.WARN, check="handle", seen="not checked: broker or keys are missing")
        return
    topics, trust, newest = known.settings.mqtt.topics, known.trust, list[Handle]()
    problem = ""
    for message in known.messages:
        if topics.kind_of(message.topic) is TopicKind.HANDLES:
            try:
                raw = cmw.unwrap(message.payload, media_types.HANDLE, Indicator.HANDLE)
                newest.append(verify_handle(raw, trust.distributors, trust.stamps))
            except PeerError as error:
                problem = f"{error.reason}: {error.detail}"
    if not newest:
        seen = problem or "none on the broker"
        todo = (
            "does handle-distributor run? Do trust.distributor_keys, trust.tsa_roots and mqtt.root match its "
            "configuration?"
        )
        yield Finding(grade=Grade.FAIL, check="handle", seen=seen, todo=todo)
        return
    yield from _judge_time(max(newest, key=lambda each: each.time_us), trust.clock)


def _judge_time(handle: Handle, judge: ClockTrust) -> Iterator[Finding]:
    now_us = clock.utc_us()
    age_s = (now_us - handle.time_us) / SECOND_US
    try:
        accept_handle(handle, None, now_us=now_us)
    except PeerError as error:
        early = error.reason == Reason.HANDLE_FROM_FUTURE
        untrusted = judge is ClockTrust.UNTRUSTED
        yield Finding(
            grade=Grade.WARN if untrusted else Grade.FAIL,
            check="clock" if early else "handle",
            seen=f"stamped {abs(age_s):.0f} s {'after' if early else 'before'} this machine's time",
            todo='set this machine\'s clock (NTP), or trust.clock = "untrusted" if it has none'
            if early
            else "either the distributor has stopped, or this machine's clock is ahead: compare it with NTP",
        )
        return
    yield _ok("handle", f"from {handle.claims.issuer}, stamped {age_s:.0f} s ago")
    yield _ok("clock", "agrees with the time stamp authority")


def _enrolment(known: _Known) -> Iterator[Finding]:
    identity = known.identity
    if identity is None or not known.subscribed:
        yield Finding(grade=Grade.WARN, check="enrolment", seen="not checked: broker or attesting key is missing")
        return
    enrol = "attester-agent enrol --config … --endorser-key …; the endorser's answer explains a refusal"
    topic = known.settings.mqtt.topics.endorsements(identity.ueid)
    payloads = [message.payload for message in known.messages if message.topic == topic]
    if not payloads:
        seen = f"no endorsement of {ueid_text(identity.ueid)} on the broker"
        yield Finding(grade=Grade.FAIL, check="enrolment", seen=seen, todo=enrol)
        return
    if not known.endorser_keys:
        seen = "an endorsement is on the broker; its signature was not checked"
        yield Finding(grade=Grade.WARN, check="enrolment", seen=seen, todo="name --endorser-key to have it checked")
        return
    try:
        with naming("--endorser-key"):
            keys = load_public_keys(known.endorser_keys)
        raw = cmw.unwrap(payloads[-1], media_types.SIGNED_CORIM, Indicator.ENDORSEMENTS)
        endorsement = verify_endorsement(raw, keys)
    except AttestreamError as error:
        yield _fail("enrolment", error, "is --endorser-key the endorser's that the verifiers trust?")
        return
    now_s = clock.utc_s()
    if endorsement.attesting_key.name != identity.environment:
        seen = "the endorsement is for another attesting key of this device"
        yield Finding(grade=Grade.FAIL, check="enrolment", seen=seen, todo=enrol)
    elif not endorsement.not_before_s <= now_s < endorsement.not_after_s:
        seen = "the endorsement has expired or was withdrawn"
        yield Finding(grade=Grade.FAIL, check="enrolment", seen=seen, todo=enrol)
    else:
        days = (endorsement.not_after_s - now_s) / 86_400
        yield _ok("enrolment", f"endorsed by {endorsement.signer} for {days:.0f} more days")


def _rest(known: _Known) -> Iterator[Finding]:
    """The remaining checks of ``run --check-config``."""
    try:
        check_files(known.settings)
    except ConfigError as error:
        yield _fail("configuration", error, "correct it; attester-agent run would end with status 2")


def _ok(check: str, seen: str) -> Finding:
    return Finding(grade=Grade.OK, check=check, seen=seen)


def _fail(check: str, error: AttestreamError, todo: str) -> Finding:
    return Finding(grade=Grade.FAIL, check=check, seen=f"{error.reason}: {error.detail}", todo=todo)


CHECKS: Final[tuple[Callable[[_Known], Iterator[Finding]], ...]] = (
    _files,
    _state,
    _logs,
    _tpm,
    _broker,
    _handle,
    _enrolment,
    _rest,
)
