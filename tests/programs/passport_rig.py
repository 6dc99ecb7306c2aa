"""A device with a software TPM, its agent as a process, beside a :class:`VerifierRig` that has endorsed it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from attester_agent.ports import Identity
from attester_agent.settings import TpmSettings
from attester_agent.tpm.device import TpmDevice
from schemas import media_types
from schemas.codecs import cmw
from schemas.hashes import SHA256
from schemas.media_types import Indicator
from schemas.messages.endorsement import sign_endorsement
from schemas.messages.passport_proof import PassportProof, encode_proof, qualifying_data
from schemas.messages.reference_values import ReferenceValues, sign_reference_values
from schemas.tpm.pcr import PcrSelection
from schemas.tpm.public import parse_public
from tests.builders.statements import stated
from tests.programs.mqtt_client import Listener
from tests.programs.swtpm import Swtpm
from tests.programs.verifier_rig import ROOT, VerifierRig
from tests.programs.waiting import PATIENCE_S, stop_process
from tests.worlds.device import make_endorsement

POLICY = """\
id = "test"
version = 1
pcrs = "sha256:1-7"
reference_values = ["good"]
deadline_s = 600.0
max_age_s = 600.0
result_lifetime_s = 60.0
"""


def tpm_identity(tpm: Swtpm) -> Identity:
    """Who the device with this TPM is; makes its attesting key."""
    return TpmDevice(TpmSettings(tcti=tpm.tcti), pause=lambda _: False).identity()


def write_agent_config(folder: Path, rig: VerifierRig, tpm: Swtpm, *, verifier_keys: str = "verifier.pub") -> Path:
    """The agent's settings, in the rig's folder."""
    tables: dict[str, dict[str, object]] = {
        "mqtt": {"port": rig.port},
        "tpm": {"tcti": tpm.tcti},
        "evidence": {"pcrs": "sha256:1-7"},
        "trust": {
            "distributor_keys": [str(rig.folder / "distributor.pub")],
            "verifier_keys": [str(rig.folder / verifier_keys)],
            "tsa_roots": [str(rig.folder / "tsa.pem")],
        },
    }
    lines = [f"state = {json.dumps(str(folder / 'agent.db'))}"]
    for table, values in tables.items():
        lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    path = folder / "agent.toml"
    path.write_text("\n".join(lines))
    return path


def publish_trust(rig: VerifierRig, client: Listener, identity: Identity) -> None:
    """The rig's handle, an endorsement of this device, and a TPM that has just been started as reference."""
    handle = cmw.wrap(media_types.HANDLE, rig.handle.raw, Indicator.HANDLE)
    client.publish(rig.topics.handles("clock"), handle, retain=True)
    values = ReferenceValues(
        name="good",
        version=1,
        signer="endorser",
        not_before_s=0,
        not_after_s=2**40,
        registers={SHA256: {index: frozenset({bytes(32)}) for index in range(1, 8)}},
    )
    wrapped = cmw.wrap(
        media_types.SIGNED_CORIM, sign_reference_values(values, rig.endorser), Indicator.REFERENCE_VALUES
    )
    client.publish(rig.topics.reference_values("good"), wrapped, retain=True)
    vouched = make_endorsement(identity.ueid, parse_public(identity.public))
    signed = sign_endorsement(vouched, identity.public, rig.endorser)
    wrapped = cmw.wrap(media_types.SIGNED_CORIM, signed, Indicator.ENDORSEMENTS)
    client.publish(rig.topics.endorsements(identity.ueid), wrapped, retain=True)
    client.publish(*stated(rig.endorser, "good", topics=rig.topics), retain=True)


@contextlib.contextmanager
def running_agent(config: Path) -> Iterator[None]:
    """The agent as a process, gone at the end; its log is ``agent.log`` beside its settings."""
    with (config.parent / "agent.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "attester_agent", "run", "--config", str(config)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stderr=log,
            stdout=log,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    try:
        yield
    finally:
        stop_process(process, signal.SIGTERM, PATIENCE_S)


def forged_proof(tpm: Swtpm, token: bytes, challenge: bytes) -> bytes:
    """The answer of another TPM to a challenge about somebody's token."""
    device = TpmDevice(TpmSettings(tcti=tpm.tcti), pause=lambda _: False)
    with device.session() as session:
        quote = session.quote(qualifying_data(token, challenge), PcrSelection(banks=()))
        return encode_proof(PassportProof(attest=quote.attest, signature=quote.signature, public=session.public.raw))
