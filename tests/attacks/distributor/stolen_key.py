"""A thief of a distributor's key, or somebody without any key, makes handles."""

import hashlib
from collections.abc import Callable
from dataclasses import replace

from cryptography.x509.oid import ExtendedKeyUsageOID

from schemas.codecs import cose
from schemas.identifiers import HandleId
from schemas.messages.handle import EPOCH_BELL_IMPRINT, HandleClaims, attach_stamp, handle_id, sign_claims
from schemas.reasons import Reason
from schemas.verdicts import Tier
from tests.attacks.catalogue import Attacker, Kind, Layer
from tests.attacks.scene import Scene
from tests.attacks.seen import Seen, best_for_the_attacker, of_call, of_result
from tests.builders.token_forge import ForgedAuthority, Recipe, certify, tst_info
from tests.fakes.attester import HandleMint
from tests.worlds.device import make_handle
from tests.worlds.verifier import ISSUER, Verifying

TIME = Kind(by=Attacker.DISTRIBUTOR, goal="make handles for another time than now", layer=Layer.COMPONENT)
FORGE = Kind(by=Attacker.STRANGER, goal="make handles without the distributor's key", layer=Layer.COMPONENT)
OLD = Kind(by=Attacker.BROKER, goal="make old evidence look fresh by old handles", layer=Layer.COMPONENT)
FORK = Kind(by=Attacker.DISTRIBUTOR, goal="get the true distributor's handles refused", layer=Layer.COMPONENT)

S = 1_000_000
HOUR_US = 3600 * S
DAY_US = 24 * HOUR_US


def forged(
    verifying: Verifying,
    said_us: int,
    stamped_us: int,
    recipe: Recipe,
    *,
    imprint: bytes | None = None,
    previous: HandleId | None = None,
    lifetime_s: int = 600,
) -> bytes:
    """A handle by the stolen key; the stamp is by any recipe, over any imprint, of any time."""
    claims = HandleClaims(
        issuer=ISSUER,
        not_before_s=said_us // S,
        expires_s=said_us // S + lifetime_s,
        nonce=hashlib.sha256(b"thief").digest(),
        epoch_marker=tst_info(EPOCH_BELL_IMPRINT, said_us),
        previous=previous,
    )
    signed = sign_claims(claims, verifying.mint.key)
    return attach_stamp(signed, recipe.token(imprint or cose.ctt_imprint(signed), stamped_us))


def refused(verifying: Verifying, raw: bytes) -> Seen:
    """The refusal of the handle, if evidence that is bound to it is not affirmed."""
    seen = of_call(lambda: verifying.take_handle(raw))
    if seen.verdict == "refused":
        handle = make_handle(time_us=verifying.now_us)
        verifying.device.sync(replace(handle, id=handle_id(raw)))
        verifying.pass_s(1)
        result = verifying.push()
        assert result.status is Tier.NONE, "evidence under a refused handle was affirmed"
        assert Reason.HANDLE_UNKNOWN in result.reasons
    return seen


def tomorrow_with_a_stamp_of_now(v: Verifying) -> bytes:
    """claims of tomorrow, with a true stamp of now."""
    return forged(v, v.now_us + DAY_US, v.now_us, v.mint.authority.recipe())


def yesterday_with_a_stamp_of_now(v: Verifying) -> bytes:
    """claims of yesterday, with a true stamp of now."""
    return forged(v, v.now_us - DAY_US, v.now_us, v.mint.authority.recipe())


def for_ever(v: Verifying) -> bytes:
    """claims of now that last a year, with a true stamp of now."""
    return forged(v, v.now_us, v.now_us, v.mint.authority.recipe(), lifetime_s=365 * 86_400)


@TIME.ways(
    "refused",
    code=Reason.HANDLE_TIME_INCONSISTENT,
    moves=(tomorrow_with_a_stamp_of_now, yesterday_with_a_stamp_of_now, for_ever),
)
def stamped_by_the_true_tsa(scene: Scene, move: Callable[[Verifying], bytes]) -> Seen:
    """The thief has the key, and the TSA stamps what it is given:"""
    verifying = scene.verifier()
    return refused(verifying, move(verifying))


@TIME.attack("refused", code=Reason.HANDLE_STAMP_INVALID)
def stamped_by_a_tsa_of_the_thief(scene: Scene) -> Seen:
    """Claims and stamp of tomorrow; the TSA is the thief's own."""
    verifying = scene.verifier()
    ahead_us = verifying.now_us + DAY_US
    return refused(verifying, forged(verifying, ahead_us, ahead_us, ForgedAuthority.make().recipe()))


@TIME.attack("refused", code=Reason.HANDLE_STAMP_IMPRINT_MISMATCH)
def stamp_of_something_else(scene: Scene) -> Seen:
    """The true TSA's stamp of something else."""
    verifying = scene.verifier()
    now_us = verifying.now_us
    return refused(verifying, forged(verifying, now_us, now_us, verifying.mint.authority.recipe(), imprint=b"x" * 32))


@TIME.attack("refused", code=Reason.HANDLE_STAMP_IMPRINT_MISMATCH)
def stamp_of_an_earlier_handle(scene: Scene) -> Seen:
    """The true stamp of the thief's own earlier handle."""
    verifying = scene.verifier()
    now_us, recipe = verifying.now_us, verifying.mint.authority.recipe()
    earlier = hashlib.sha256(forged(verifying, now_us, now_us, recipe)).digest()
    return refused(verifying, forged(verifying, now_us, now_us, recipe, imprint=earlier))


@TIME.attack("refused", code=Reason.HANDLE_STAMP_NOT_FOR_TIME_STAMPING)
def stamped_by_a_web_server(scene: Scene) -> Seen:
    """The stamp is by a web server's certificate under the TSA's root."""
    verifying = scene.verifier()
    web = certify("web", verifying.mint.authority.root, usages=[ExtendedKeyUsageOID.SERVER_AUTH])
    return refused(verifying, forged(verifying, verifying.now_us, verifying.now_us, Recipe(signer=web)))


@TIME.attack("refused", code=Reason.HANDLE_FROM_FUTURE)
def tsa_whose_clock_is_ahead(scene: Scene) -> Seen:
    """A trusted TSA's clock is an hour ahead."""
    verifying = scene.verifier()
    ahead_us = verifying.now_us + HOUR_US
    return refused(verifying, forged(verifying, ahead_us, ahead_us, verifying.mint.authority.recipe()))


@FORGE.attack("refused", code=Reason.HANDLE_SIGNATURE_INVALID)
def signed_by_a_stranger(scene: Scene) -> Seen:
    """A key of the stranger's signs, the true TSA stamps."""
    verifying = scene.verifier()
    stranger = HandleMint(authority=verifying.mint.authority)
    return refused(verifying, stranger.raw(verifying.now_us))


@FORGE.attack("refused")
def one_bit_of_a_true_handle(scene: Scene) -> Seen:
    """One bit of a true handle is flipped, at each of 200 places."""
    verifying = scene.verifier()
    raw = verifying.mint.raw(verifying.now_us)
    seen = []
    for place in range(0, len(raw), max(1, len(raw) // 200)):
        changed = bytearray(raw)
        changed[place] ^= 1 << (place % 8)
        seen.append(of_call(lambda changed=bytes(changed): verifying.take_handle(changed)))  # type: ignore[misc]
    return best_for_the_attacker(seen)


@OLD.attack("none", code=Reason.EVIDENCE_TOO_OLD)
def old_handle_shown_again(scene: Scene) -> Seen:
    """An old handle is published again, and the device binds new quotes to it."""
    verifying = scene.verifier()
    first = verifying.mint.raw(verifying.now_us)
    verifying.take_handle(first)
    verifying.pass_s(400)
    verifying.new_handle()
    verifying.take_handle(first)
    verifying.device.sync(verifying.verified(first))
    return of_result(verifying.push())


@OLD.attack("refused", code=Reason.HANDLE_EXPIRED)
def forgotten_handle_shown_again(scene: Scene) -> Seen:
    """A handle that the verifier has forgotten is published again two days later."""
    verifying = scene.verifier()
    old = verifying.mint.raw(verifying.now_us)
    verifying.pass_s(2 * 86_400)
    verifying.trust.prune(verifying.now_us)
    return of_call(lambda: verifying.take_handle(old))


@OLD.attack("none", code=Reason.HANDLE_EXPIRED)
def handle_held_back_for_an_hour(scene: Scene) -> Seen:
    """A handle that nobody has seen is held back for an hour; then the device and the verifier are shown it."""
    verifying = scene.verifier()
    held_back = verifying.mint.raw(verifying.now_us)
    verifying.device.sync(verifying.verified(held_back))
    verifying.pass_s(3600)
    verifying.take_handle(held_back)
    return of_result(verifying.push())


@FORK.attack("affirming")
def fork_of_the_chain(scene: Scene) -> Seen:
    """The thief publishes a handle of now with the predecessor that a true one has."""
    verifying = scene.verifier()
    before = verifying.mint.previous
    verifying.pass_s(5)
    honest = verifying.new_handle()
    verifying.pass_s(2)
    now_us = verifying.now_us
    verifying.take_handle(forged(verifying, now_us, now_us, verifying.mint.authority.recipe(), previous=before))
    verifying.device.sync(honest)
    return of_result(verifying.push())
