"""EK certificates: the chain, the TCG's profile, revocation lists."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from endorser.core.certificate_path import TpmCertificate, Vendors
from endorser.core.ek_certificate import verify_ek_certificate
from schemas.errors import PeerError
from schemas.reasons import Reason
from tests.builders.ek_authority import EK_PURPOSE, NOW_S, TPM_NAMES, Authority, der, signing_usage

ROOT = Authority("root")
MIDDLE = Authority("middle", ROOT)
KEY = ec.generate_private_key(ec.SECP256R1()).public_key()
CERTIFICATE = MIDDLE.certify(KEY)
VENDORS = Vendors(roots=(("acme", ROOT.certificate),), intermediates=(MIDDLE.certificate,))
DAY_S = 86_400


def verify(certificate: x509.Certificate, vendors: Vendors = VENDORS, now_s: int = NOW_S) -> TpmCertificate:
    return verify_ek_certificate(der(certificate), (), vendors, now_s)


def reason_of(certificate: x509.Certificate, vendors: Vendors = VENDORS, now_s: int = NOW_S) -> Reason:
    with pytest.raises(PeerError) as caught:
        verify(certificate, vendors, now_s)
    return caught.value.reason


def test_a_certificate_as_the_profile_wants_it() -> None:
    verified = verify(CERTIFICATE)
    assert (verified.root, verified.subject) == ("acme", "id:54455354 model id:0001")
    assert verified.serial == format(CERTIFICATE.serial_number, "x")


def test_the_device_may_bring_what_is_between() -> None:
    without = replace(VENDORS, intermediates=())
    assert reason_of(CERTIFICATE, without) is Reason.EK_CERTIFICATE_UNTRUSTED
    assert verify_ek_certificate(der(CERTIFICATE), [der(MIDDLE.certificate)], without, NOW_S).root == "acme"


def test_a_root_that_the_device_brings_is_nobodys() -> None:
    own = Authority("own")
    with pytest.raises(PeerError) as caught:
        verify_ek_certificate(der(own.certify(KEY)), [der(own.certificate)], VENDORS, NOW_S)
    assert caught.value.reason is Reason.EK_CERTIFICATE_UNTRUSTED


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Authority("root").certify(KEY), Reason.EK_CERTIFICATE_UNTRUSTED),
        (lambda: Authority("not a ca", ROOT, is_ca=False).certify(KEY), Reason.EK_CERTIFICATE_UNTRUSTED),
        (lambda: MIDDLE.certify(KEY, valid_days=-1), Reason.EK_CERTIFICATE_UNTRUSTED),
        (lambda: MIDDLE.certify(KEY, purposes=()), Reason.EK_CERTIFICATE_UNFIT),
        (
            lambda: MIDDLE.certify(KEY, purposes=(ExtendedKeyUsageOID.CLIENT_AUTH,)),
            Reason.EK_CERTIFICATE_UNFIT,
        ),
        (lambda: MIDDLE.certify(KEY, names={}), Reason.EK_CERTIFICATE_UNFIT),
        (lambda: MIDDLE.certify(KEY, usage=signing_usage()), Reason.EK_CERTIFICATE_UNFIT),
    ],
)
def test_what_is_refused(make: Callable[[], x509.Certificate], reason: Reason) -> None:
    assert reason_of(make()) is reason


@pytest.mark.parametrize("missing", TPM_NAMES)
def test_each_name_of_the_tpm_must_be_there(missing: str) -> None:
    names = {oid: text for oid, text in TPM_NAMES.items() if oid != missing}
    assert reason_of(MIDDLE.certify(KEY, names=names)) is Reason.EK_CERTIFICATE_UNFIT


def test_an_issuer_that_may_not_sign_certificates() -> None:
    middle = Authority("middle", ROOT, usage=signing_usage())
    vendors = replace(VENDORS, intermediates=(middle.certificate,))
    assert reason_of(middle.certify(KEY), vendors) is Reason.EK_CERTIFICATE_UNTRUSTED


@pytest.mark.parametrize(
    ("purposes", "may"),
    [
        ((ExtendedKeyUsageOID.SERVER_AUTH,), False),
        ((ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH), False),
        ((ExtendedKeyUsageOID.SERVER_AUTH, EK_PURPOSE), True),
        ((x509.ObjectIdentifier("2.23.133.8.3"),), True),
        ((ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,), True),
        ((x509.ObjectIdentifier("2.23.133.80.1"),), False),
    ],
)
def test_an_issuer_for_other_things_certifies_no_tpm(purposes: tuple[x509.ObjectIdentifier, ...], may: bool) -> None:
    """The vendor's web servers have an intermediate of their own under the same root."""
    middle = Authority("middle", ROOT, purposes=purposes)
    vendors = replace(VENDORS, intermediates=(middle.certificate,))
    if may:
        assert verify(middle.certify(KEY), vendors).root == "acme"
    else:
        assert reason_of(middle.certify(KEY), vendors) is Reason.EK_CERTIFICATE_UNTRUSTED


def test_a_root_is_for_tpms_because_the_operator_says_so() -> None:
    root = Authority("root", purposes=(ExtendedKeyUsageOID.SERVER_AUTH,))
    assert verify(root.certify(KEY), Vendors(roots=(("acme", root.certificate),))).root == "acme"


def lists(*revocations: x509.CertificateRevocationList, required: bool = False) -> Vendors:
    return replace(VENDORS, revocations=revocations, require_revocation=required)


def test_a_certificate_on_the_list_is_revoked() -> None:
    assert reason_of(CERTIFICATE, lists(MIDDLE.revocations(CERTIFICATE))) is Reason.EK_CERTIFICATE_REVOKED


def test_an_issuer_on_the_list_of_its_issuer_is_revoked() -> None:
    assert reason_of(CERTIFICATE, lists(ROOT.revocations(MIDDLE.certificate))) is Reason.EK_CERTIFICATE_REVOKED


def test_an_old_list_still_revokes_but_no_longer_clears() -> None:
    old = 5
    assert reason_of(CERTIFICATE, lists(MIDDLE.revocations(CERTIFICATE, made_days_ago=old))) is (
        Reason.EK_CERTIFICATE_REVOKED
    )
    assert reason_of(CERTIFICATE, lists(MIDDLE.revocations(made_days_ago=old))) is Reason.REVOCATION_UNKNOWN


def test_a_fresh_list_beside_an_old_one_is_enough() -> None:
    assert verify(CERTIFICATE, lists(MIDDLE.revocations(made_days_ago=5), MIDDLE.revocations())).root == "acme"


def test_a_list_that_a_stranger_signed_says_nothing() -> None:
    stranger = Authority("stranger").key
    forged = MIDDLE.revocations(CERTIFICATE, key=stranger)
    assert reason_of(CERTIFICATE, lists(forged)) is Reason.REVOCATION_UNKNOWN
    assert verify(CERTIFICATE, lists(forged, MIDDLE.revocations())).root == "acme"


def test_a_list_from_the_future_says_nothing() -> None:
    assert reason_of(CERTIFICATE, lists(MIDDLE.revocations(made_days_ago=-1))) is Reason.REVOCATION_UNKNOWN


def test_lists_of_the_whole_chain_can_be_required() -> None:
    assert reason_of(CERTIFICATE, lists(MIDDLE.revocations(), required=True)) is Reason.REVOCATION_UNKNOWN
    assert verify(CERTIFICATE, lists(MIDDLE.revocations(), ROOT.revocations(), required=True)).root == "acme"


def test_the_names_of_the_lists_are_of_the_same_issuer_only() -> None:
    assert verify(CERTIFICATE, lists(Authority("other").revocations(CERTIFICATE))).root == "acme"


@pytest.mark.parametrize("raw", [b"", b"x", bytes(100), der(CERTIFICATE)[:-1], der(CERTIFICATE) + b"\0"])
def test_what_is_no_certificate(raw: bytes) -> None:
    with pytest.raises(PeerError) as caught:
        verify_ek_certificate(raw, (), VENDORS, NOW_S)
    assert caught.value.reason is Reason.MALFORMED


def test_a_certificate_of_no_version_that_there_is() -> None:
    """cryptography says so with an error that is no ValueError: one message of a stranger ended the service."""
    raw = der(CERTIFICATE).replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07", 1)
    for certificate, chain in ((raw, []), (der(CERTIFICATE), [raw])):
        with pytest.raises(PeerError) as caught:
            verify_ek_certificate(certificate, chain, VENDORS, NOW_S)
        assert caught.value.reason is Reason.MALFORMED
