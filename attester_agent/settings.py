"""The agent's configuration file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from attester_agent.core.handle_gate import ClockTrust
from runtime.monitoring.tracing import TracingSettings
from runtime.mqtt import MqttSettings
from runtime.settings import check_name_setting
from runtime.telemetry import check_metrics_address
from runtime.time_stamps.address import TsaAddress, parse_tsa_urls
from schemas.errors import ConfigError, PeerError, as_config_error
from schemas.identifiers import parse_log_name
from schemas.limits import MAX_EVIDENCE_BYTES_DEFAULT, MAX_LOGS, MAX_MESSAGE_BYTES, MAX_PCR_INDEX
from schemas.replay.log_replay import CEL
from schemas.topics import Role
from schemas.tpm.pcr import PcrSelection, parse_selection_text

ROLE: Final = Role.ATTESTER
COMMAND: Final = "attester-agent"
_TCTIS: Final = ("device", "swtpm", "mssim", "tabrmd", "libtpms", "cmd", "pcap")  # tpm2-tss, tctildr
MIN_EVIDENCE_BYTES: Final = 4096
# Leaves room for one log entry of 64 KiB, which is sent even when the rest of a push has this size.
MAX_EVIDENCE_BYTES: Final = MAX_MESSAGE_BYTES - 72 * 1024
MIN_SPOOLED_PUSHES: Final = 4
MAX_STAMP_TIMEOUT_S: Final = 25.0  # a push waits for it

# TPM 2.0 Part 2, "Persistent Handle Sub-ranges", and TCG "Registry of Reserved TPM 2.0 Handles": 81000000 to 8100FFFF
# are storage roots, 81010000 to 8101FFFF endorsement keys, from 81800000 on belongs to the platform.
AK_HANDLES: Final = range(0x8102_0000, 0x8180_0000)
DEFAULT_AK_HANDLE: Final = 0x8102_0000


class Hierarchy(StrEnum):
    """The attesting key's hierarchy. In ``owner`` the TPM obfuscates reset counts."""

    ENDORSEMENT = "endorsement"
    OWNER = "owner"


class KeyAlgorithm(StrEnum):
    """P-256 with ECDSA, or RSA 2048 with RSASSA; both with SHA-256."""

    ECC = "ecc"
    RSA = "rsa"


def _choice(field_name: str, value: str, choices: type[StrEnum]) -> None:
    if value not in {str(choice) for choice in choices}:
        raise ConfigError(f"{field_name}: {value!r}, expected one of {', '.join(choices)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TpmSettings:
    """Table ``[tpm]``.

    Attributes:
        tcti: how to reach the TPM, as in tpm2-tools: ``device:/dev/tpmrm0``, ``swtpm:path=…``, ``mssim:…``.
        ak_handle: persistent handle of the attesting key.
        hierarchy: ``endorsement`` or ``owner``.
        ak_algorithm: ``ecc`` or ``rsa``.
        ek: the endorsement key that gives the device its UEID: ``ecc`` or ``rsa``. Changing it changes the UEID.
    """

    tcti: str = "device:/dev/tpmrm0"
    ak_handle: int = DEFAULT_AK_HANDLE
    hierarchy: str = Hierarchy.ENDORSEMENT
    ak_algorithm: str = KeyAlgorithm.ECC
    ek: str = KeyAlgorithm.ECC

    def __post_init__(self) -> None:
        if not self.tcti:
            raise ConfigError("tcti: empty, expected something like device:/dev/tpmrm0")
        if self.tcti.partition(":")[0] not in _TCTIS and not self.tcti.startswith(("/", "./", "../")):
            known = ", ".join(f"{name}:…" for name in _TCTIS)
            raise ConfigError(f"tcti: {self.tcti!r}, expected a path or one of {known}")
        if self.ak_handle not in AK_HANDLES:
            raise ConfigError(
                f"ak_handle: {self.ak_handle:#x}, expected {AK_HANDLES.start:#x} to {AK_HANDLES.stop - 1:#x}"
            )
        _choice("hierarchy", self.hierarchy, Hierarchy)
        _choice("ak_algorithm", self.ak_algorithm, KeyAlgorithm)
        _choice("ek", self.ek, KeyAlgorithm)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceSettings:
    """Table ``[evidence]``.

    Attributes:
        pcrs: PCRs to quote, as ``sha256:0-10``.
        heartbeat_s: longest time between two pushes.
        log_poll_s: time between two checks whether a measurement log has grown.
        max_evidence_bytes: a longer increment is split into several pushes.
        baseline_every: a baseline after this many pushes, for links without a way back; 0 makes only necessary ones.
        spool_max_bytes: for pushes kept while the broker is away. If they exceed it, all are dropped and the next push
            is a baseline.
        solicit_burst, solicits_per_minute: how often a verifier may ask.
    """

    pcrs: str = "sha256:0-10"
    heartbeat_s: float = 30.0
    log_poll_s: float = 1.0
    max_evidence_bytes: int = MAX_EVIDENCE_BYTES_DEFAULT
    baseline_every: int = 0
    spool_max_bytes: int = 64 * 1024 * 1024
    solicit_burst: int = 10
    solicits_per_minute: float = 30.0

    def __post_init__(self) -> None:
        with as_config_error("pcrs"):
            selection = self.selection
        if not tuple(selection):
            raise ConfigError("pcrs: selects none, expected something like sha256:0-10")
        if min(self.heartbeat_s, self.log_poll_s, self.solicits_per_minute) <= 0 or self.solicit_burst < 1:
            raise ConfigError("heartbeat_s, log_poll_s, solicits_per_minute, solicit_burst: expected more than 0")
        if not MIN_EVIDENCE_BYTES <= self.max_evidence_bytes <= MAX_EVIDENCE_BYTES:
            raise ConfigError(
                f"max_evidence_bytes: {self.max_evidence_bytes}, expected {MIN_EVIDENCE_BYTES} to {MAX_EVIDENCE_BYTES}"
            )
        if self.baseline_every < 0:
            raise ConfigError(f"baseline_every: {self.baseline_every}, expected 0 (never) or more")
        least = MIN_SPOOLED_PUSHES * MAX_MESSAGE_BYTES
        if self.spool_max_bytes < least:
            raise ConfigError(f"spool_max_bytes: {self.spool_max_bytes}, expected at least {least}")

    @property
    def selection(self) -> PcrSelection:
        """``pcrs``, parsed."""
        return parse_selection_text(self.pcrs)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementLogSettings:
    """Table ``[logs]``: measurement logs to read; leave out those that the device does not have.

    Attributes:
        tcg2: ``/sys/kernel/security/tpm0/binary_bios_measurements``.
        ima: ``/sys/kernel/security/ima/binary_runtime_measurements``; or the ASCII list, or the list of one bank.
        cel: CEL logs by name, as table ``[logs.cel]``. Examples: ``app = "/var/lib/attestream/app.cel"``, written by
            ``attester-agent measure``, and ``systemd = "/run/log/systemd/tpm2-measure.log"``, written by systemd.
        measure_pcrs: PCRs that ``attester-agent measure`` may extend. The default is all that an operating system may
            extend except 10, which is IMA's: two growing logs cannot share a PCR.
    """

    tcg2: Path | None = None
    ima: Path | None = None
    cel: Mapping[str, Path] = field(default_factory=dict)
    measure_pcrs: tuple[int, ...] = (8, 9, 11, 12, 13, 14, 15, 16, 23)

    def __post_init__(self) -> None:
        for name in self.cel:
            try:
                parse_log_name(f"{CEL}/{name}")
            except PeerError as error:
                raise ConfigError(f"cel.{name}: expected a name of small letters, digits, '.', '_', '-'") from error
        if len(self.cel) > MAX_LOGS - 2:
            raise ConfigError(f"cel: {len(self.cel)} logs, the limit is {MAX_LOGS - 2}")
        for index in self.measure_pcrs:
            if not 0 <= index <= MAX_PCR_INDEX:
                raise ConfigError(f"measure_pcrs: {index}, expected 0 to {MAX_PCR_INDEX}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimSettings:
    """Table ``[claims]``: the claim selection (draft-ietf-rats-reference-interaction-models, N8).

    Attributes:
        select: patterns of names (``*``, ``kernel-*``, ``containers/*``); only claims that match one are collected.
            Claims that change with the time, such as ``uptime``, must be named without a wildcard.
        containers: files, or folders of files, whose SHA-256 becomes the claim ``containers/<file name>``.
    """

    select: tuple[str, ...] = ("*",)
    containers: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustSettings:
    """Table ``[trust]``.

    Attributes:
        distributor_keys: PEM files of trusted distributors.
        tsa_roots: PEM files of the roots of their Time Stamp Authorities.
        verifier_keys: PEM or JWKS files of the verifiers whose solicits and results are trusted; if empty, solicits are
            ignored.
        clock: ``trusted`` or ``untrusted``: whether this machine's UTC may judge handles.
    """

    distributor_keys: tuple[Path, ...]
    tsa_roots: tuple[Path, ...]
    verifier_keys: tuple[Path, ...] = ()
    clock: str = ClockTrust.TRUSTED

    def __post_init__(self) -> None:
        _choice("clock", self.clock, ClockTrust)
        if not self.distributor_keys:
            raise ConfigError("distributor_keys: empty; without a handle there is no evidence")
        if not self.tsa_roots:
            raise ConfigError("tsa_roots: empty; no handle could be verified")


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncStampSettings:
    """Table ``[sync_stamp]``: two-sided mode. Without it no Time Stamp Authority is asked.

    Attributes:
        urls: Time Stamp Authorities (RFC 3161 over HTTP) that stamp each proof of synchronisation, in the order to try
            them.
        roots: PEM files of their root certificates; verifiers must trust the same ones.
        intermediates: PEM files of intermediate certificates, if the TSAs do not send them.
        timeout_s: for one whole exchange; a push waits no longer for a stamp.
        tls_ca_file: PEM roots for https URLs; the default is the operating system's.
    """

    urls: tuple[str, ...] = ()
    roots: tuple[Path, ...] = ()
    intermediates: tuple[Path, ...] = ()
    timeout_s: float = 5.0
    tls_ca_file: Path | None = None

    def __post_init__(self) -> None:
        _ = self.addresses
        if self.roots and not self.urls:
            raise ConfigError("urls: empty; name a Time Stamp Authority, or leave [sync_stamp] out")
        if self.urls and not self.roots:
            raise ConfigError("roots: empty; no stamp could be verified; name the TSA's root certificate")
        if not 0 < self.timeout_s <= MAX_STAMP_TIMEOUT_S:
            raise ConfigError(
                f"timeout_s: {self.timeout_s:g}, expected more than 0 and at most {MAX_STAMP_TIMEOUT_S:g}"
            )

    @property
    def addresses(self) -> tuple[TsaAddress, ...]:
        """``urls``, parsed."""
        return parse_tsa_urls(self.urls)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of an attester agent.

    Attributes:
        state: SQLite file with the state and the unsent pushes; made if missing.
        name: label for people, sent as a claim.
        handle_file: a file with the newest handle, kept by ``handle-distributor export`` for example. The agent reads
            it beside the broker's handles and uses the newest. It need not exist yet.
        boot_id_file: a file whose text differs for each start of a kernel. Only an emulated machine, whose TPM is reset
            while the real kernel runs on, has another than the kernel's.
        metrics_port: for metrics, ``/healthz`` and ``/readyz``; 0 for none.
        metrics_host: address to listen on; anyone who can reach it can read the metrics.
        log_level: debug, info, warning or error.
    """

    state: Path
    trust: TrustSettings
    name: str | None = None
    handle_file: Path | None = None
    boot_id_file: Path = Path("/proc/sys/kernel/random/boot_id")
    metrics_port: int = 0
    metrics_host: str = "127.0.0.1"
    log_level: str = "info"
    mqtt: MqttSettings = field(default_factory=MqttSettings)
    tpm: TpmSettings = field(default_factory=TpmSettings)
    evidence: EvidenceSettings = field(default_factory=EvidenceSettings)
    logs: MeasurementLogSettings = field(default_factory=MeasurementLogSettings)
    claims: ClaimSettings = field(default_factory=ClaimSettings)
    sync_stamp: SyncStampSettings = field(default_factory=SyncStampSettings)
    tracing: TracingSettings = field(default_factory=TracingSettings)

    def __post_init__(self) -> None:
        check_metrics_address(self.metrics_port, self.metrics_host)
        if self.name is not None:
            check_name_setting(self.name)
