"""Results read by other implementations, and results made by one: JWT with PyJWT alone, CWT with openssl and cbor2.

``vectors/result_cwt.json`` was made by python-cwt 3.3.0, which has verified a token of ours, too. It is no dependency
of the tests, because it cannot be installed beside cbor2 6 (see docs/adr).
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import cbor2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from schemas.identifiers import HandleId
from schemas.messages import result_token
from schemas.messages.result_token import ResultFormat, ResultSigner
from schemas.verdicts import Freshness, Tier, TrustClaim
from tests.fakes.relying_party import ALICE, NOW_S, VERIFIER_KEY, result_about

VECTOR = json.loads((Path(__file__).parent / "vectors" / "result_cwt.json").read_text())
RESULT = result_about(
    status=Tier.WARNING,
    vector={TrustClaim.INSTANCE_IDENTITY: 2, TrustClaim.CONFIGURATION: 32},
    handle=HandleId(bytes(range(32))),
    evidence=bytes(32),
    policies=("fleet/3",),
    claims={"os": "Debian"},
)
PUBLIC_PEM = VERIFIER_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def openssl_verifies(folder: Path, signature: bytes, message: bytes) -> bool:
    """ES256 by openssl: the two halves of a COSE signature as DER."""
    half = len(signature) // 2
    numbers = (int.from_bytes(part, "big") for part in (signature[:half], signature[half:]))
    files = {"key.pem": PUBLIC_PEM, "signature": encode_dss_signature(*numbers), "message": message}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    command = ["openssl", "dgst", "-sha256", "-verify", "key.pem", "-signature", "signature", "message"]
    return subprocess.run(command, cwd=folder, check=False, capture_output=True).returncode == 0


@pytest.mark.needs("openssl")
def test_a_cwt_is_what_the_standards_say(tmp_path: Path) -> None:
    """RFC 8392, 6; RFC 9052, 4.2 and 4.4; draft-ietf-rats-ear-04, 3: taken apart by hand."""
    outer: Any = cbor2.loads(ResultSigner(VERIFIER_KEY, "attestream", "1", ResultFormat.CWT).sign(RESULT))
    assert (outer.tag, outer.value.tag) == (61, 18)
    protected, unprotected, payload, signature = outer.value.value
    assert dict(unprotected) == {}
    headers = cbor2.loads(protected)
    assert (headers[1], headers[16]) == (-7, "application/eat+cwt")
    to_be_signed = cbor2.dumps(["Signature1", protected, b"", payload])
    assert openssl_verifies(tmp_path, signature, to_be_signed)
    assert not openssl_verifies(tmp_path, signature, to_be_signed + b"\0")
    assert cbor2.loads(payload) == {
        1: "verifier-1",
        4: NOW_S + 60,
        6: NOW_S,
        10: bytes(range(32)),
        256: bytes(ALICE),
        265: "tag:ietf.org,2026:rats/ear#04",
        266: {
            RESULT.environment.hex(): {
                1000: 32,
                1001: {0: 2, 1: 32},
                1003: ["fleet/3"],
                1005: {"os": "Debian"},
                1006: {
                    "attestream": {
                        "evidence": bytes(32),
                        "freshness": "fresh",
                        "reasons": [],
                        "received_us": NOW_S * 1_000_000,
                    }
                },
            }
        },
        1000: 32,
        1004: {0: "attestream", 1: "1"},
    }


def test_a_jwt_is_what_the_standards_say() -> None:
    token = ResultSigner(VERIFIER_KEY, "attestream", "1").sign(RESULT)
    header = jwt.get_unverified_header(token)
    assert (header["alg"], header["typ"]) == ("ES256", "eat+jwt")
    claims = jwt.decode(token, PUBLIC_PEM, algorithms=["ES256"], options={"verify_exp": False, "verify_iat": False})
    ((environment, appraisal),) = claims.pop("submods").items()
    assert claims == {
        "iss": "verifier-1",
        "exp": NOW_S + 60,
        "iat": NOW_S,
        "eat_nonce": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
        "ueid": "AWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh",
        "eat_profile": "tag:ietf.org,2026:rats/ear#04",
        "ear_status": "warning",
        "ear_verifier_id": {"developer": "attestream", "build": "1"},
    }
    assert environment == RESULT.environment.hex()
    assert appraisal["ear_status"] == "warning"
    assert appraisal["ear_trustworthiness_vector"] == {"instance-identity": 2, "configuration": 32}
    assert appraisal["ear_appraisal_policy_ids"] == ["fleet/3"]
    assert appraisal["ear_attester_claims"] == {"os": "Debian"}


def test_a_cwt_of_another_implementation_is_read() -> None:
    key = load_pem_public_key(VECTOR["public_key"].encode())
    assert isinstance(key, EllipticCurvePublicKey)
    result = result_token.verify(bytes.fromhex(VECTOR["token"]), result_token.result_keys({b"": key}))
    assert (result.verifier, result.status, result.freshness) == ("verifier-1", Tier.WARNING, Freshness.FRESH)
    assert result.vector == {TrustClaim.INSTANCE_IDENTITY: 2, TrustClaim.CONFIGURATION: 32, TrustClaim.EXECUTABLES: 3}
    assert (result.ueid, result.handle, result.policies) == (ALICE, bytes(range(32)), ("fleet/3",))
    assert (result.made_after_us, result.logs, result.claims) == (1_799_999_990_000_000, {"ima": 7}, {"os": "Debian"})
