"""Asks one Time Stamp Authority over HTTP (RFC 3161, 3.4). The only importer of rfc3161ng.

Each fault of a TSA or a network becomes a ``WorldError`` with a reason of its own. One deadline limits the whole
exchange, so a TSA that sends one byte a second is treated like a silent one. (The operating system resolves the name;
that time is not limited.) Redirects and proxies are not used, and the size of an answer is limited.

Returned tokens are verified to the operator's roots and are in the one form that receivers accept (``token_form``), for
openssl sends certificates in any order. Parts that no signature covers and nobody needs are removed.
"""

import http.client
import io
import socket
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import rfc3161ng
from cryptography.hazmat import asn1
from prometheus_client import Histogram
from pyasn1.error import PyAsn1Error  # type: ignore[import-untyped]  # as all of pyasn1
from pyasn1.type import univ  # type: ignore[import-untyped]  # as above
from typing_extensions import Buffer, override

from runtime.clock import monotonic_s
from runtime.time_stamps.address import TsaAddress
from runtime.time_stamps.token_form import ContentInfo, in_one_form
from schemas.codecs.tst_info import Stamp, extract_tst_info, parse_tst_info
from schemas.errors import ConfigError, PeerError, WorldError
from schemas.limits import MAX_TIME_STAMP_TOKEN_BYTES
from schemas.messages.handle import StampVerifier
from schemas.reasons import Reason

MAX_ANSWER_BYTES: Final = 2 * MAX_TIME_STAMP_TOKEN_BYTES
_QUERY: Final = "application/timestamp-query"  # RFC 3161, 3.4
_REPLY: Final = "application/timestamp-reply"
_GRANTED: Final = (0, 1)  # PKIStatus granted, grantedWithMods: the answer has a token (RFC 3161, 2.4.2)
_HTTP_OK: Final = 200
_DER_NULL: Final = b"\x05\x00"
_MIN_CONNECT_S: Final = 0.001
_STAMPED: Final = "stamped"

LATENCY: Final = Histogram(
    "attestream_tsa_latency_seconds",
    "Time of one exchange with one TSA, by outcome: stamped, or the reason why its answer was refused",
    ["tsa", "outcome"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25),
)


class HttpTimeStampAuthority:
    """One TSA. Returns verified tokens; keeps no connection and no state."""

    def __init__(
        self,
        address: TsaAddress,
        stamps: StampVerifier,
        *,
        timeout_s: float,
        monotonic_s: Callable[[], float],
        tls_ca_file: Path | None = None,
    ) -> None:
        """Does not connect yet.

        Args:
            address: of the TSA.
            stamps: verifies its tokens.
            timeout_s: for one whole exchange, from connecting to the last byte.
            monotonic_s: a clock that never runs back.
            tls_ca_file: roots for https; None for the operating system's.

        Raises:
            ConfigError: ``tls_ca_file`` holds no certificates.
        """
        self._address = address
        self._stamps = stamps
        self._timeout_s = timeout_s
        self._monotonic_s = monotonic_s
        self._tls = _tls_context(tls_ca_file) if address.tls else None

    @property
    def name(self) -> str:
        """The URL."""
        return self._address.url

    def stamp(self, imprint: bytes, nonce: int) -> Stamp:
        """Asks for a token over ``imprint``, once. Returns or raises within the deadline.

        A metric counts how long that took by outcome: ``stamped``, or the reason.

        Args:
            imprint: a SHA-256, 32 bytes.
            nonce: 64 random bits that the token must repeat.

        Raises:
            WorldError: ``tsa-unreachable``, ``tsa-timeout``, ``tsa-refused``, ``tsa-malformed``,
                ``tsa-imprint-mismatch``, ``tsa-nonce-mismatch`` or ``tsa-untrusted``.
        """
        started_s, outcome = self._monotonic_s(), _STAMPED
        try:
            return self._verified(imprint, nonce)
        except WorldError as error:
            outcome = str(error.reason)
            raise
        finally:
            LATENCY.labels(self.name, outcome).observe(max(0.0, self._monotonic_s() - started_s))

    def _verified(self, imprint: bytes, nonce: int) -> Stamp:
        token = _token(self._exchange(_encode_request(imprint, nonce)), self.name)
        try:
            info = parse_tst_info(extract_tst_info(token))
        except PeerError as error:
            raise WorldError(Reason.TSA_MALFORMED, f"{self.name}: {error.detail}") from error
        if info.imprint != imprint:
            raise WorldError(
                Reason.TSA_IMPRINT_MISMATCH, f"{self.name} stamped {info.imprint.hex()}, asked {imprint.hex()}"
            )
        if info.nonce != nonce:
            raise WorldError(Reason.TSA_NONCE_MISMATCH, f"{self.name}: nonce {info.nonce}, asked with {nonce}")
        try:
            return Stamp(token=token, info=self._stamps.verify_stamp(token, imprint))
        except PeerError as error:
            raise WorldError(Reason.TSA_UNTRUSTED, f"{self.name}: {error.detail}") from error

    def _exchange(self, request: bytes) -> bytes:
        remaining_s = _Deadline(self._monotonic_s, self._monotonic_s() + self._timeout_s).remaining_s
        try:
            connection = self._connection(remaining_s())
            try:
                connection.connect()
                connection.sock.settimeout(remaining_s())
                connection.request("POST", self._address.path, request, {"Content-Type": _QUERY, "Connection": "close"})
                # The connection's own getresponse() would restart the timeout for every byte.
                timed = _TimedSocket(connection.sock, remaining_s)
                response = http.client.HTTPResponse(timed, method="POST")  # type: ignore[arg-type]  # makefile() is all it uses
                with response:
                    response.begin()
                    return self._body(response)
            finally:
                connection.close()
        except TimeoutError as error:
            raise WorldError(Reason.TSA_TIMEOUT, f"{self.name}: no answer within {self._timeout_s:g} s") from error
        except ssl.SSLCertVerificationError as error:
            raise WorldError(Reason.TSA_UNTRUSTED, f"{self.name}: TLS certificate ({error.verify_message})") from error
        except OSError as error:
            raise WorldError(Reason.TSA_UNREACHABLE, f"{self.name}: {error.strerror or error}") from error
        except http.client.HTTPException as error:
            raise WorldError(Reason.TSA_MALFORMED, f"{self.name}: not HTTP ({type(error).__name__})") from error

    def _connection(self, timeout_s: float) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._address.host, self._address.port, timeout=timeout_s)
        return http.client.HTTPSConnection(self._address.host, self._address.port, timeout=timeout_s, context=self._tls)

    def _body(self, response: http.client.HTTPResponse) -> bytes:
        if response.status != _HTTP_OK:
            raise WorldError(
                Reason.TSA_REFUSED, f"{self.name}: HTTP status {response.status}; redirects are not followed"
            )
        content_type = (response.getheader("Content-Type") or "").partition(";")[0].strip().lower()
        if content_type != _REPLY:
            raise WorldError(
                Reason.TSA_MALFORMED, f"{self.name}: content type {content_type[:80]!r}, expected {_REPLY}"
            )
        body = response.read(MAX_ANSWER_BYTES + 1)
        if len(body) > MAX_ANSWER_BYTES:
            raise WorldError(Reason.TSA_MALFORMED, f"{self.name}: answer larger than {MAX_ANSWER_BYTES} bytes")
        return body


@dataclass(frozen=True, slots=True)
class _Deadline:
    monotonic_s: Callable[[], float]
    at_s: float

    def remaining_s(self) -> float:
        """The seconds that are left; raises TimeoutError if the deadline has passed."""
        remaining = self.at_s - self.monotonic_s()
        if remaining <= 0:
            raise TimeoutError
        return max(remaining, _MIN_CONNECT_S)


class _TimedReader(io.RawIOBase):
    """Reads from a socket; each read may take as long as the deadline allows."""

    def __init__(self, connection: socket.socket, remaining_s: Callable[[], float]) -> None:
        self._connection = connection
        self._remaining_s = remaining_s

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Buffer, /) -> int:
        self._connection.settimeout(self._remaining_s())
        return self._connection.recv_into(buffer)


@dataclass(frozen=True, slots=True)
class _TimedSocket:
    connection: socket.socket
    remaining_s: Callable[[], float]

    def makefile(self, _mode: str) -> io.BufferedReader:
        """A reader for ``http.client.HTTPResponse``."""
        return io.BufferedReader(_TimedReader(self.connection, self.remaining_s))


def open_authorities(
    addresses: Iterable[TsaAddress], stamps: StampVerifier, *, timeout_s: float, tls_ca_file: Path | None
) -> list[HttpTimeStampAuthority]:
    """The TSAs at ``addresses``, in this order. Does not connect yet.

    Raises:
        ConfigError: ``tls_ca_file`` holds no certificates.
    """
    return [
        HttpTimeStampAuthority(address, stamps, timeout_s=timeout_s, monotonic_s=monotonic_s, tls_ca_file=tls_ca_file)
        for address in addresses
    ]


def _tls_context(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{ca_file}: no CA certificates ({error})") from error


def _encode_request(imprint: bytes, nonce: int) -> bytes:
    request = rfc3161ng.make_timestamp_request(
        digest=imprint, hashname="sha256", include_tsa_certificate=True, nonce=nonce
    )
    # The epoch marker draft requires sha256 with NULL. rfc3161ng omits the parameters; TSAs copy them.
    request["messageImprint"]["hashAlgorithm"]["parameters"] = univ.Any(_DER_NULL)
    encoded: bytes = rfc3161ng.encode_timestamp_request(request)
    return encoded


def _token(answer: bytes, tsa: str) -> bytes:
    """The DER token in a granted TimeStampResp."""
    try:
        response = rfc3161ng.decode_timestamp_response(answer)
        status = int(response.status["status"])
        text = _status_text(response.status)
    except _PYASN1_ERRORS as error:
        raise WorldError(Reason.TSA_MALFORMED, f"{tsa}: not a TimeStampResp ({type(error).__name__})") from error
    if status not in _GRANTED:
        raise WorldError(Reason.TSA_REFUSED, f"{tsa}: PKIStatus {status} {text}")
    try:
        return in_one_form(asn1.decode_der(_Response, answer).token)
    except ValueError as error:
        raise WorldError(Reason.TSA_MALFORMED, f"{tsa}: granted, but no DER token ({error})") from error


# pyasn1 has no common class for malformed input.
_PYASN1_ERRORS: Final = (PyAsn1Error, ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError)


def _status_text(status: univ.Sequence) -> str:
    strings = [str(item) for item in status["statusString"]] if status["statusString"].isValue else []
    failure = status["failInfo"].prettyPrint() if status["failInfo"].isValue else ""
    return repr("; ".join([*strings, failure])[:200])


@asn1.sequence
class _Response:
    status: asn1.TLV
    token: ContentInfo
