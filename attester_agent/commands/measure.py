"""``attester-agent measure``: measures a file into a PCR and a CEL log."""

import argparse
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attester_agent.commands.options import add_config, settings_of
from attester_agent.logs.cel_file import CelFile
from attester_agent.logs.file_measurement import check_owner, digest_of, measure
from attester_agent.settings import Settings
from attester_agent.tpm.device import TpmDevice
from runtime.service import Stop
from schemas.cel.records import ApplicationContent
from schemas.errors import ConfigError, as_config_error
from schemas.replay.log_replay import CEL

if TYPE_CHECKING:
    from runtime.command_line import Parsers

_TYPE: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureRequest:
    """The options of the command.

    Attributes:
        pcr: to extend.
        event_type: dotted words.
        file: to measure.
        name: for the file in the log; None takes the file's absolute path.
        log: name of the CEL log; None takes the first one in the configuration.
    """

    pcr: int
    event_type: str
    file: Path
    name: str | None = None
    log: str | None = None


def add_to(parsers: "Parsers") -> None:
    """Adds the command."""
    parser = parsers.add_parser("measure", help="measure a file into a PCR and a CEL log; works beside a running agent")
    add_config(parser)
    parser.add_argument("--pcr", type=int, required=True, help="PCR to extend, in all banks")
    parser.add_argument("--type", required=True, help="kind of thing, as dotted words: app.config")
    parser.add_argument("--file", type=Path, required=True, help="the file to measure")
    parser.add_argument("--name", help="its name in the log; default: the file's absolute path")
    parser.add_argument("--log", help="CEL log by its name in [logs.cel]; default: the first there")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Measures the file."""
    settings = settings_of(arguments)
    request = MeasureRequest(
        pcr=arguments.pcr, event_type=arguments.type, file=arguments.file, name=arguments.name, log=arguments.log
    )
    print(run_measure(settings, request, Stop().on_signals()))


def run_measure(settings: Settings, request: MeasureRequest, stop: Stop) -> str:
    """Measures one file; returns the text for the operator.

    Raises:
        ConfigError: the request cannot be carried out; the text says what can.
        WorldError: the TPM or the disk failed.
    """
    log = _log_of(settings, request)
    allowed = settings.logs.measure_pcrs
    if request.pcr not in allowed:
        listed = ", ".join(map(str, allowed))
        raise ConfigError(f"--pcr {request.pcr}: expected one of {listed} (logs.measure_pcrs in the configuration)")
    if not _TYPE.fullmatch(request.event_type):
        raise ConfigError(f"--type {request.event_type!r}: expected dotted words like app.config")
    digest = digest_of(request.file)
    with as_config_error("--name, --type"):
        content = ApplicationContent(
            event_type=request.event_type, name=request.name or str(request.file.absolute()), digest=digest
        )
    others = [CelFile(name, path, pause=stop.wait) for name, path in settings.logs.cel.items() if name != log]
    with TpmDevice(settings.tpm, pause=stop.wait).registers() as registers:
        lifetime = registers.pcr_lifetime()
        check_owner(request.pcr, [other for other in others if other.exists and other.is_current(lifetime)])
        done = measure(registers, settings.logs.cel[log], request.pcr, content, stop.wait)
    lines = [f"sha256:{digest.hex()}  {content.name}"]
    lines.append(f"entry {done.recnum} of PCR {request.pcr} ({', '.join(done.banks)}) in log {CEL}/{log}")
    if done.finished_earlier:
        lines.append("An earlier measurement was interrupted before it reached the PCR; it was finished first.")
    if all(index != request.pcr for _, index in settings.evidence.selection):
        lines.append(f"evidence.pcrs does not select PCR {request.pcr}: no quote will cover this. Add it there.")
    return "\n".join(lines)


def _log_of(settings: Settings, request: MeasureRequest) -> str:
    names = tuple(settings.logs.cel)
    if not names:
        raise ConfigError('logs.cel: empty, so there is no log to measure into; add [logs.cel] app = "app.cel"')
    if request.log is None:
        return names[0]
    name = request.log.removeprefix(f"{CEL}/")
    if name not in names:
        raise ConfigError(f"--log {request.log}: expected one of {', '.join(names)} (logs.cel in the configuration)")
    return name
