"""Background check: a service was handed evidence by a device that reaches no broker, and asks the verifier about it.

python background_check.py EVIDENCE VERIFIER_KEYS BROKER_PORT
"""

import sys
from pathlib import Path

from relying_party import Results
from relying_party.background_check import submit
from runtime.mqtt import MqttSettings
from schemas.errors import PeerError, WorldError

evidence, verifier_keys, port = sys.argv[1:]
results = Results.from_files(verifier_keys, policies=["test/1"], max_age_s=300)
try:
    attestation = submit(MqttSettings(port=int(port)), results, Path(evidence).read_bytes(), wait_s=10)
except (PeerError, WorldError) as error:
    sys.exit(f"no entry: {error.reason}: {error.detail}")
print("welcome" if attestation.affirming else f"no entry: {attestation.result.status}", attestation.result.reasons)
