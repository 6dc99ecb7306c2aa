"""The TSA client against HTTP servers that misbehave: every way has its reason, and none holds anybody up."""

import socket
import time
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from runtime.time_stamps.address import parse_tsa_url
from runtime.time_stamps.client import HttpTimeStampAuthority
from runtime.time_stamps.verifier import TimeStampVerifier
from schemas.errors import ConfigError, WorldError
from schemas.reasons import Reason
from tests.builders.token_forge import ForgedAuthority, Recipe, certify
from tests.programs import tsa
from tests.programs.tsa import Behaviour, Exchange, misbehaving_tsa
from tests.programs.waiting import PATIENCE_S

IMPRINT = b"i" * 32
NONCE = 2**64 - 3
AUTHORITY = ForgedAuthority.make()
STAMPS = TimeStampVerifier(AUTHORITY.root.pem)
STRANGER = ForgedAuthority.make()
WEB_SERVER = certify("web server", AUTHORITY.root, usages=[ExtendedKeyUsageOID.SERVER_AUTH])
SHORT_S = 0.3


def client(url: str, timeout_s: float = PATIENCE_S) -> HttpTimeStampAuthority:
    return HttpTimeStampAuthority(parse_tsa_url(url), STAMPS, timeout_s=timeout_s, monotonic_s=time.monotonic)


def failure(url: str, timeout_s: float = PATIENCE_S) -> WorldError:
    with pytest.raises(WorldError) as caught:
        client(url, timeout_s).stamp(IMPRINT, NONCE)
    return caught.value


def test_an_honest_tsa_is_believed() -> None:
    with misbehaving_tsa(tsa.honest(AUTHORITY)) as url:
        stamp = client(url).stamp(IMPRINT, NONCE)
    assert (stamp.info.imprint, stamp.info.nonce) == (IMPRINT, NONCE)
    assert STAMPS.verify_stamp(stamp.token, IMPRINT) == stamp.info


def test_it_asks_for_sha256_with_null_a_nonce_and_the_certificate() -> None:
    seen: list[bytes] = []

    def behave(raw: bytes, exchange: Exchange) -> None:
        seen.append(raw)
        tsa.honest(AUTHORITY)(raw, exchange)

    with misbehaving_tsa(behave) as url:
        client(url).stamp(IMPRINT, NONCE)
    query = tsa.parse_query(seen[0])
    assert (query.imprint, query.nonce, query.certificate_wanted) == (IMPRINT, NONCE, True)
    assert bytes.fromhex("300d06096086480165030402010500") in query.raw  # AlgorithmIdentifier {sha256, NULL}


def test_certificates_out_of_order_are_put_in_order_and_roots_left_out() -> None:
    between = certify("between", AUTHORITY.root, ca=True)
    signer = certify("TSA", between)
    chain = sorted([signer.der, between.der, AUTHORITY.root.der], reverse=True)
    recipe = Recipe(signer=signer, embedded=chain, sorted_certificates=False)
    with misbehaving_tsa(tsa.honest(recipe)) as url:
        token = client(url).stamp(IMPRINT, NONCE).token
    assert AUTHORITY.root.der not in token
    assert b"".join(sorted([signer.der, between.der])) in token
    assert STAMPS.verify_stamp(token, IMPRINT).imprint == IMPRINT


MISBEHAVIOURS: dict[str, tuple[Behaviour, Reason]] = {
    "refused": (tsa.refusing, Reason.TSA_REFUSED),
    "HTTP error": (tsa.failing, Reason.TSA_REFUSED),
    "redirect": (tsa.redirecting, Reason.TSA_REFUSED),
    "garbage": (tsa.garbage, Reason.TSA_MALFORMED),
    "empty": (tsa.empty, Reason.TSA_MALFORMED),
    "granted without a token": (tsa.granted_without_token, Reason.TSA_MALFORMED),
    "web page": (tsa.web_page, Reason.TSA_MALFORMED),
    "not HTTP": (tsa.no_http, Reason.TSA_MALFORMED),
    "huge": (tsa.huge, Reason.TSA_MALFORMED),
    "deeply nested": (tsa.nested, Reason.TSA_MALFORMED),
    "hangs up": (tsa.hanging_up, Reason.TSA_UNREACHABLE),
    "wrong imprint": (tsa.wrong_imprint(AUTHORITY), Reason.TSA_IMPRINT_MISMATCH),
    "wrong nonce": (tsa.wrong_nonce(AUTHORITY), Reason.TSA_NONCE_MISMATCH),
    "no nonce": (tsa.wrong_nonce(AUTHORITY, None), Reason.TSA_NONCE_MISMATCH),
    "another root": (tsa.honest(STRANGER), Reason.TSA_UNTRUSTED),
    "certificate for something else": (tsa.honest(Recipe(signer=WEB_SERVER)), Reason.TSA_UNTRUSTED),
    "two signers": (tsa.honest(AUTHORITY.recipe(signers=2)), Reason.TSA_UNTRUSTED),
    "SHA-1": (tsa.honest(AUTHORITY.recipe(imprint_oid="1.3.14.3.2.26")), Reason.TSA_MALFORMED),
    "no TSTInfo": (tsa.honest(AUTHORITY.recipe(content_oid="1.2.840.113549.1.7.1")), Reason.TSA_MALFORMED),
}


@pytest.mark.parametrize("name", MISBEHAVIOURS)
def test_a_misbehaving_tsa_has_its_reason(name: str) -> None:
    behaviour, reason = MISBEHAVIOURS[name]
    with misbehaving_tsa(behaviour) as url:
        error = failure(url)
    assert error.reason is reason
    assert url in error.detail


@pytest.mark.parametrize(
    "behaviour",
    [tsa.silent, tsa.dripping_body, tsa.dripping_headers],
    ids=["silent", "dripping body", "dripping headers"],
)
def test_a_tsa_that_takes_its_time_is_left_at_the_deadline(behaviour: Behaviour) -> None:
    with misbehaving_tsa(behaviour) as url:
        started = time.monotonic()
        assert failure(url, SHORT_S).reason is Reason.TSA_TIMEOUT
        assert SHORT_S * 0.9 < time.monotonic() - started < PATIENCE_S


def test_a_port_that_accepts_nothing_is_a_timeout() -> None:
    """The backlog is full: the handshake of TCP is never finished."""
    with socket.socket() as listener, socket.socket() as first:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        first.connect(listener.getsockname())
        others = [socket.socket() for _ in range(4)]
        try:
            for other in others:
                other.setblocking(False)
                other.connect_ex(listener.getsockname())
            port = listener.getsockname()[1]
            assert failure(f"http://127.0.0.1:{port}/", SHORT_S).reason is Reason.TSA_TIMEOUT
        finally:
            for other in others:
                other.close()


def test_a_closed_port_and_an_unknown_host_are_unreachable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        assert failure(f"http://127.0.0.1:{port}/").reason is Reason.TSA_UNREACHABLE
    assert failure("http://host.invalid/").reason is Reason.TSA_UNREACHABLE


def test_tls_with_a_certificate_nobody_trusts_is_untrusted_or_no_tls_unreachable() -> None:
    with misbehaving_tsa(tsa.honest(AUTHORITY)) as url:
        assert failure(url.replace("http:", "https:")).reason is Reason.TSA_UNREACHABLE


def test_a_ca_file_without_certificates_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"empty\.pem"):
        HttpTimeStampAuthority(
            parse_tsa_url("https://tsa.example/"),
            STAMPS,
            timeout_s=1,
            monotonic_s=time.monotonic,
            tls_ca_file=tmp_path / "empty.pem",
        )


@pytest.mark.parametrize(
    "url",
    [
        "ftp://tsa.example/",
        "file:///etc/passwd",
        "tsa.example",
        "http://",
        "http://u:p@tsa.example/",
        "http://[::1",
        "http://h:x/",
    ],
)
def test_a_url_that_is_none_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigError):
        parse_tsa_url(url)


def test_urls_are_parsed() -> None:
    address = parse_tsa_url("https://tsa.example/tsr?policy=1")
    assert (address.tls, address.host, address.port, address.path) == (True, "tsa.example", 443, "/tsr?policy=1")
    address = parse_tsa_url("http://[::1]:3161")
    assert (address.tls, address.host, address.port, address.path) == (False, "::1", 3161, "/")
