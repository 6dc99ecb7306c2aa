"""Solicits: on the wire, and as a trusted verifier may have signed them."""

from attester_agent.core.agent_state import AgentState, decode_state, encode_state, on_solicit
from schemas.identifiers import Ueid
from schemas.messages.solicit import verify_solicit
from tests.fuzz.cbor_tree import mutate_cbor
from tests.fuzz.samples import KEYS, SOLICIT, SOLICIT_PAYLOAD, SOLICIT_TYPE, signed

SEEDS = [SOLICIT, b"\x01" + SOLICIT_PAYLOAD]
_STATE = AgentState(ueid=Ueid(b"\x01" + bytes(32)), environment=b"", next_entries={"ima": 5})
MUTATE = mutate_cbor


def one(data: bytes) -> None:
    solicit = verify_solicit(signed(data[1:], SOLICIT_TYPE) if data[:1] == b"\x01" else data, KEYS)
    state = on_solicit(_STATE, solicit)
    assert decode_state(encode_state(state)) == state
