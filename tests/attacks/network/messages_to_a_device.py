"""What the network can make a device's agent do: by solicits and handles that are forged, old or for somebody else."""

import itertools
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key

from attester_agent.adapters.inbox import Received
from runtime import clock
from schemas.codecs import cmw
from schemas.identifiers import Ueid
from schemas.media_types import HANDLE, SOLICIT, Indicator
from schemas.messages.solicit import Solicit, sign_solicit
from tests.attacks.catalogue import Attacker, Kind, Layer
from tests.attacks.scene import Scene
from tests.attacks.seen import Seen
from tests.fakes.attester import HandleMint
from tests.worlds.agent import T_US, TOPICS, Clock, Rig, S, received

SKIP = Kind(by=Attacker.NETWORK, goal="make a device leave entries out, or push without end", layer=Layer.COMPONENT)
BIND = Kind(by=Attacker.NETWORK, goal="bind a device to a handle of the network's choice", layer=Layer.COMPONENT)
NOTHING = "nothing done"


def _rig(scene: Scene) -> Rig:
    """An agent that is bound to a handle of now, and has pushed its baseline."""
    moving = Clock()
    patch = scene.enter(pytest.MonkeyPatch.context())
    patch.setattr(clock, "monotonic_s", moving.monotonic_s)
    patch.setattr(clock, "utc_us", moving.utc_us)
    rig = Rig(HandleMint(), moving)
    rig.measure(5)
    rig.turn(rig.handle(T_US))
    assert rig.sequences == [0]
    return rig


def _asked(
    rig: Rig, key: EllipticCurvePrivateKey | None = None, ueid: Ueid | None = None, issued: int = 50
) -> Received:
    asked = Solicit(
        ueid=ueid or rig.agent.state.ueid,
        verifier="verifier-1",
        issued_us=issued,
        reason="sequence-gap",
        full=True,
        logs={"ima": 0},
    )
    payload = cmw.wrap(SOLICIT, sign_solicit(asked, key or rig.verifier), None)
    return received(TOPICS.solicit(rig.agent.state.ueid), payload)


def by_a_stranger(rig: Rig) -> Received:
    """signed by a stranger."""
    return _asked(rig, generate_private_key(SECP256R1()))


def for_another_device(rig: Rig) -> Received:
    """for another device, by the verifier."""
    return _asked(rig, ueid=Ueid(b"\x01" + bytes(32)))


def noise(rig: Rig) -> Received:
    """that is noise."""
    return received(TOPICS.solicit(rig.agent.state.ueid), b"\x83\xff")


@SKIP.ways(NOTHING, moves=(by_a_stranger, for_another_device, noise))
def solicit(scene: Scene, move: Callable[[Rig], Received]) -> Seen:
    """A solicit"""
    rig = _rig(scene)
    before = rig.agent.state
    rig.turn(move(rig), after_s=1)
    moved = rig.agent.state.previous != before.previous or rig.agent.state.next_entries != before.next_entries
    return Seen(verdict="followed" if moved or len(rig.sequences) > 1 else NOTHING)


@SKIP.attack("followed once")
def true_solicit_again(scene: Scene) -> Seen:
    """A true solicit is repeated a hundred times."""
    rig = _rig(scene)
    true = _asked(rig)
    for _ in range(100):
        rig.turn(true, after_s=0.01)
    full = [each for each in rig.broker.evidence[1:] if each.body.previous is None]
    return Seen(verdict="followed once" if len(full) == 1 else f"followed {len(full)} times")


@SKIP.attack("no entry skipped")
def true_solicit_beyond_the_end(scene: Scene) -> Seen:
    """A verifier, or a thief of its key, asks for the list from an entry that does not exist yet."""
    rig = _rig(scene)
    asked = Solicit(
        ueid=rig.agent.state.ueid, verifier="verifier-1", issued_us=50, reason="x", full=True, logs={"ima": 1000}
    )
    payload = cmw.wrap(SOLICIT, sign_solicit(asked, rig.verifier), None)
    rig.turn(received(TOPICS.solicit(rig.agent.state.ueid), payload), after_s=1)
    rig.measure(3)
    rig.turn(after_s=30)
    starts = [each.body.logs["ima"] for each in rig.broker.evidence]
    covered = all(start <= 8 for start in starts)
    return Seen(verdict="no entry skipped" if covered else "skipped", detail=str(starts))


def older(rig: Rig) -> bytes:
    """of before."""
    return rig.mint.raw(T_US - 100 * S)


def by_a_stranger_with_the_tsa(rig: Rig) -> bytes:
    """by a stranger, stamped by the true TSA."""
    return HandleMint(authority=rig.mint.authority).raw(T_US + S)


def by_a_stranger_alone(rig: Rig) -> bytes:
    """by a stranger, stamped by a TSA of his own."""
    return HandleMint().raw(T_US + S)


def of_the_future(rig: Rig) -> bytes:
    """of an hour ahead, by a trusted TSA whose clock is wrong."""
    return rig.mint.raw(T_US + 3600 * S)


def flipped(rig: Rig) -> bytes:
    """with a flipped bit."""
    raw = bytearray(rig.mint.raw(T_US + S))
    raw[len(raw) // 2] ^= 1
    return bytes(raw)


@BIND.ways(NOTHING, moves=(older, by_a_stranger_with_the_tsa, by_a_stranger_alone, of_the_future, flipped))
def handle(scene: Scene, move: Callable[[Rig], bytes]) -> Seen:
    """A handle"""
    rig = _rig(scene)
    bound, syncs = rig.agent.state.handle, rig.tpm.syncs
    payload = cmw.wrap(HANDLE, move(rig), Indicator.HANDLE)
    for _, after_s in zip(range(3), itertools.repeat(30)):
        rig.turn(received(TOPICS.handles("distributor-1"), payload), after_s=after_s)
    moved = rig.agent.state.handle != bound or rig.tpm.syncs != syncs
    return Seen(verdict="bound to it" if moved else NOTHING)
