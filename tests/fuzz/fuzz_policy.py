"""Policies: on the wire, as a payload that a trusted endorser has signed, and as the TOML text in it."""

from schemas.errors import PeerError
from schemas.messages.policy import SignedPolicy, verify_policy
from schemas.reasons import Reason
from tests.fuzz.cbor_tree import mutate_cbor
from tests.fuzz.samples import KEYS, POLICY, POLICY_PAYLOAD, POLICY_TEXT, POLICY_TYPE, signed
from verifier_worker.adapters.loaded_files import compile_policy
from verifier_worker.core.policy.in_force import Policies

SEEDS = [POLICY, b"\x01" + POLICY_PAYLOAD, b"\x02" + POLICY_TEXT.encode()]
MUTATE = mutate_cbor


def one(data: bytes) -> None:
    match data[:1]:
        case b"\x01":
            policy = verify_policy(signed(data[1:], POLICY_TYPE), KEYS)
        case b"\x02":
            policy = _with_text(data[1:])
        case _:
            policy = verify_policy(data, KEYS)
    policies = Policies(None, compile_policy)
    policies.take(policy)
    assert policies.version(policy.id) == policy.version


def _with_text(raw: bytes) -> SignedPolicy:
    """A text as a trusted endorser might sign it, good or bad."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PeerError(Reason.MALFORMED, "not UTF-8") from error
    return SignedPolicy(id="fleet", version=1, signer="e", not_before_s=0, not_after_s=2**40, text=text)
