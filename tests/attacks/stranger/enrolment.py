"""A device that is none, or another than it says, asks to be enrolled."""

from collections.abc import Callable
from dataclasses import replace

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from endorser.core.certificate_path import Vendors
from endorser.core.enrolment import examine
from schemas.messages.enrolment import EnrolmentRequest, encode_request
from schemas.reasons import Reason
from tests.attacks.catalogue import Attacker, Kind
from tests.attacks.scene import Scene
from tests.attacks.seen import Seen, best_for_the_attacker, of_call
from tests.builders.ek_authority import NOW_S, TPM_NAMES, Authority, der, signing_usage
from tests.builders.enrolment_request import request_of

FALSE = Kind(by=Attacker.STRANGER, goal="be enrolled as a genuine TPM without one")
KEYS = Kind(by=Attacker.STRANGER, goal="be enrolled with a key that signs what no TPM attested")

ROOT = Authority("root")
WEB = Authority("web", ROOT, purposes=(ExtendedKeyUsageOID.SERVER_AUTH,))
VENDORS = Vendors(roots=(("acme", ROOT.certificate),))
EK = ec.generate_private_key(ec.SECP256R1()).public_key()
REQUEST = request_of(ROOT, EK)


def asked(vendors: Vendors = VENDORS, **changes: object) -> Seen:
    """The endorser's answer to a request with these changes."""
    request: EnrolmentRequest = replace(REQUEST, **changes)  # type: ignore[arg-type]  # fields by name
    return of_call(lambda: examine(encode_request(request), vendors, NOW_S))


@FALSE.attack("refused", code=Reason.EK_CERTIFICATE_MISSING)
def no_certificate(scene: Scene) -> Seen:
    """The request has no certificate of the endorsement key."""
    return asked(certificate=None)


@FALSE.attack("refused", code=Reason.EK_CERTIFICATE_MISMATCH)
def certificate_of_another_tpm(scene: Scene) -> Seen:
    """The certificate is a true one, of another TPM."""
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    return asked(certificate=der(ROOT.certify(other)))


def by_an_authority_of_its_own() -> x509.Certificate:
    """by an authority of the same name as the manufacturer's."""
    return Authority("root").certify(EK)


def by_a_device_that_poses_as_an_authority() -> x509.Certificate:
    """by a key that the manufacturer certified for a device, which is no authority."""
    return Authority("no authority", ROOT, is_ca=False).certify(EK)


def that_has_ended() -> x509.Certificate:
    """by the manufacturer, which has ended."""
    return ROOT.certify(EK, valid_days=-1)


def by_the_authority_for_web_servers() -> x509.Certificate:
    """by the manufacturer's intermediate authority for web servers."""
    return WEB.certify(EK)


@FALSE.ways(
    "refused",
    code=Reason.EK_CERTIFICATE_UNTRUSTED,
    moves=(
        by_an_authority_of_its_own,
        by_a_device_that_poses_as_an_authority,
        by_the_authority_for_web_servers,
        that_has_ended,
    ),
)
def untrusted_certificate(scene: Scene, move: Callable[[], x509.Certificate]) -> Seen:
    """The certificate is"""
    return asked(certificate=der(move()), chain=(der(WEB.certificate),))


@FALSE.attack("refused", code=Reason.EK_CERTIFICATE_UNTRUSTED)
def brings_its_own_root(scene: Scene) -> Seen:
    """The request brings the root of its own authority along."""
    own = Authority("own")
    return asked(certificate=der(own.certify(EK)), chain=(der(own.certificate),))


def of_a_web_client() -> x509.Certificate:
    """for TLS clients."""
    return ROOT.certify(EK, purposes=(ExtendedKeyUsageOID.CLIENT_AUTH,))


def of_no_purpose() -> x509.Certificate:
    """for no purpose."""
    return ROOT.certify(EK, purposes=())


def without_names_of_a_tpm() -> x509.Certificate:
    """that names no TPM."""
    return ROOT.certify(EK, names={})


def without_one_name_of_a_tpm() -> x509.Certificate:
    """that leaves the TPM's version out."""
    return ROOT.certify(EK, names={oid: text for oid, text in TPM_NAMES.items() if oid != "2.23.133.2.3"})


def that_may_sign() -> x509.Certificate:
    """for a key that signs."""
    return ROOT.certify(EK, usage=signing_usage())


@FALSE.ways(
    "refused",
    code=Reason.EK_CERTIFICATE_UNFIT,
    moves=(of_a_web_client, of_no_purpose, without_names_of_a_tpm, without_one_name_of_a_tpm, that_may_sign),
)
def another_certificate_of_the_manufacturer(scene: Scene, move: Callable[[], x509.Certificate]) -> Seen:
    """The manufacturer's certificate is one"""
    return asked(certificate=der(move()))


@FALSE.attack("refused", code=Reason.EK_CERTIFICATE_REVOKED)
def revoked_certificate(scene: Scene) -> Seen:
    """The manufacturer has revoked the certificate; the list is old."""
    certificate = ROOT.certify(EK)
    revoked = replace(VENDORS, revocations=(ROOT.revocations(certificate, made_days_ago=5),))
    return asked(revoked, certificate=der(certificate))


@FALSE.attack("refused", code=Reason.REVOCATION_UNKNOWN)
def list_by_a_stranger(scene: Scene) -> Seen:
    """The revocation list that clears the certificate is signed by a stranger."""
    forged = replace(VENDORS, revocations=(ROOT.revocations(key=Authority("stranger").key),))
    return asked(forged, certificate=der(ROOT.certify(EK)))


@FALSE.attack("refused", code=Reason.REVOCATION_UNKNOWN)
def list_of_last_month(scene: Scene) -> Seen:
    """The revocation list that clears the certificate is old."""
    old = replace(VENDORS, revocations=(ROOT.revocations(made_days_ago=30),))
    return asked(old, certificate=der(ROOT.certify(EK)))


def _with(raw: bytes, cleared: int = 0, added: int = 0) -> bytes:
    attributes = int.from_bytes(raw[4:8], "big") & ~cleared | added
    return raw[:4] + attributes.to_bytes(4, "big") + raw[8:]


@KEYS.attack("refused", code=Reason.ATTESTING_KEY_UNFIT)
def attesting_key_that_lacks_an_attribute(scene: Scene) -> Seen:
    """Without fixedTPM, fixedParent, sensitiveDataOrigin, restricted or sign, one at a time."""
    return best_for_the_attacker(
        asked(ak_public=_with(REQUEST.ak_public, cleared=1 << bit)) for bit in (1, 4, 5, 16, 18)
    )


@KEYS.attack("refused", code=Reason.ATTESTING_KEY_UNFIT)
def attesting_key_that_decrypts(scene: Scene) -> Seen:
    """A key that signs and decrypts."""
    return asked(ak_public=_with(REQUEST.ak_public, added=1 << 17))


@KEYS.attack("refused", code=Reason.EK_TEMPLATE_MISMATCH)
def endorsement_key_that_lacks_an_attribute(scene: Scene) -> Seen:
    """An endorsement key that is not as the TCG's template says, one attribute at a time."""
    return best_for_the_attacker(
        asked(ek_public=_with(REQUEST.ek_public, cleared=1 << bit)) for bit in (1, 4, 5, 7, 16, 17)
    )


@KEYS.attack("refused", code=Reason.EK_TEMPLATE_MISMATCH)
def endorsement_key_that_signs(scene: Scene) -> Seen:
    """An endorsement key that may sign."""
    return asked(ek_public=_with(REQUEST.ek_public, added=1 << 18))


@KEYS.attack("refused", code=Reason.EK_TEMPLATE_MISMATCH)
def endorsement_key_of_another_policy(scene: Scene) -> Seen:
    """An endorsement key whose use needs no authorisation by the endorsement hierarchy."""
    place = REQUEST.ek_public.index(bytes.fromhex("83719767"))
    return asked(ek_public=REQUEST.ek_public[:place] + bytes(32) + REQUEST.ek_public[place + 32 :])


@KEYS.attack("refused")
def endorsement_key_as_attesting_key(scene: Scene) -> Seen:
    """The endorsement key itself is to be the attesting key."""
    return asked(ak_public=REQUEST.ek_public)


NOISE = Kind(by=Attacker.STRANGER, goal="stop the endorser by what it cannot read")


@NOISE.attack("refused")
def requests_that_are_none(scene: Scene) -> Seen:
    """Requests that are too large, too short, or hold a topic's separator."""
    changes: list[dict[str, object]] = [
        {"certificate": bytes(5000)},
        {"chain": (b"x",) * 6},
        {"ek_public": bytes(2000)},
        {"name": "no/level"},
        {"nonce": b"short"},
        {"certificate": b"x"},
        {"ak_public": b"x"},
    ]
    noise = [of_call(lambda raw=raw: examine(raw, VENDORS, NOW_S)) for raw in (b"", b"\xff", bytes(40_000))]  # type: ignore[misc]
    return best_for_the_attacker([*noise, *(asked(VENDORS, **each) for each in changes)])
