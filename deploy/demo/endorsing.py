"""The demo's endorser: signs endorsements of the devices' keys, and reference values of firmware and files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from deploy.demo.broker import HOST
from deploy.demo.configuration import FILE_VALUES, FIRMWARE_VALUES
from deploy.demo.layout import RunDirectory
from deploy.demo.machine.device import Device
from endorser.core.endorsements import parse_any_ueid
from endorser.signed_files import endorse_to_file, publish_files, refer_to_file, statement
from runtime.keys import read_file
from runtime.mqtt import MqttSettings

SIGNER: Final = "demo-endorser"
REFERENCE_PCRS: Final = "sha256:0-9"
_DAYS: Final = 1


def publish_reference_values(run: RunDirectory, port: int, recorded_pcrs: Path, files: Mapping[bytes, str]) -> None:
    """Signs and publishes both sets of reference values.

    Args:
        run: where keys are and signed objects go.
        port: of the broker.
        recorded_pcrs: the recorded machine's PCRs, as text.
        files: acceptable file digests with their paths.
    """
    key = run.private_key("endorser")
    firmware, programs = run.signed / f"{FIRMWARE_VALUES}.corim", run.signed / f"{FILE_VALUES}.corim"
    made = statement(SIGNER, "1", _DAYS)
    refer_to_file(made, key, FIRMWARE_VALUES, pcrs=(recorded_pcrs, REFERENCE_PCRS), files={}, out=firmware)
    refer_to_file(made, key, FILE_VALUES, pcrs=None, files=dict(files), out=programs)
    _publish(run, port, (firmware, programs))


def publish_endorsements(run: RunDirectory, port: int, devices: Sequence[Device]) -> None:
    """Signs and publishes the devices' endorsements, from the files that ``attester-agent provision`` wrote."""
    outs = []
    for device in devices:
        device.ueid = parse_any_ueid(read_file(device.directory / "attester.ueid"))
        out = run.signed / f"{device.name}.corim"
        public = device.directory / "ak.tpmt_public"
        endorse_to_file(statement(SIGNER, "1", _DAYS), run.private_key("endorser"), device.ueid, public, out)
        outs.append(out)
    _publish(run, port, outs)


def _publish(run: RunDirectory, port: int, paths: Sequence[Path]) -> None:
    publish_files(MqttSettings(host=HOST, port=port), [run.public_key("endorser")], paths)
