"""Passport: a device shows its result to a service that has no broker, and proves that the result is its own.

python passport.py AGENT_CONFIG VERIFIER_KEYS

Here both sides are in one program. The challenge travels one way, token and proof the other, by any protocol.
"""

import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

from relying_party import Results

agent_config, verifier_keys = sys.argv[1:]

# The service: its trusted keys and its expectations; a new challenge for every visitor.
results = Results.from_files(verifier_keys, max_age_s=300, fresh_only=True)
challenge = secrets.token_bytes(32)

# The device: its agent is running; this fetches its newest result and lets the TPM answer the challenge.
with tempfile.TemporaryDirectory() as folder:
    token, proof = Path(folder, "token"), Path(folder, "proof")
    command = [
        sys.executable,
        "-m",
        "attester_agent",
        "passport",
        "--config",
        agent_config,
        "--challenge",
        challenge.hex(),
    ]
    subprocess.run([*command, "--out", token, "--proof", proof], check=True)  # noqa: S603 the caller's own program
    shown = token.read_bytes(), proof.read_bytes()

# The service again.
attestation = results.verify_passport(shown[0], challenge, shown[1])
print("welcome" if attestation.affirming else f"no entry: {attestation.result.status}", attestation.result.reasons)
