"""A Time Stamp Authority for demo and tests: `openssl ts -reply` behind HTTP on the loopback (RFC 3161, 3.4).

    python -m deploy.demo.embedded_tsa --directory DIR [--port P] [--accuracy-ms MS]

DIR keeps its root certificate (`tsa-root.pem`, which verifiers trust), its signing certificate and key, and the serial
number; a second start in the same DIR is the same TSA. Not for production: its clock is this machine's, its keys are
in plain files, and it starts a process for every stamp.
"""

import argparse
import fcntl
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar, Final, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from typing_extensions import override

from runtime.command_line import exit_status
from runtime.service import Stop
from schemas.errors import ConfigError

HOST: Final = "127.0.0.1"
ROOT_FILE: Final = "tsa-root.pem"
DEFAULT_ACCURACY_MS: Final = 500
_CONFIG_FILE: Final = "tsa.cnf"
_MAX_QUERY_BYTES: Final = 16 * 1024
_OPENSSL_SECONDS: Final = 30.0
_READ_SECONDS: Final = 10.0
_DAYS: Final = 3650

# Without `certs` the token carries only the signing certificate; verifiers have the root.
_CONFIG: Final = """\
[tsa]
default_tsa = embedded

[embedded]
serial = ./tsa-serial
crypto_device = builtin
signer_cert = ./tsa-signer.pem
signer_key = ./tsa-signer.key
signer_digest = sha256
default_policy = 1.3.6.1.4.1.99999.1
digests = sha256, sha384, sha512
accuracy = secs:{seconds}, millisecs:{milliseconds}
clock_precision_digits = 3
ordering = no
tsa_name = yes
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""


def create_authority(directory: Path, accuracy_ms: int = DEFAULT_ACCURACY_MS) -> Path:
    """Makes keys and certificates in ``directory`` unless they exist, and openssl's configuration.

    Args:
        directory: made if it is missing.
        accuracy_ms: stated in the tokens, milliseconds.

    Returns:
        the root certificate's file.
    """
    directory.mkdir(parents=True, exist_ok=True)
    root_file = directory / ROOT_FILE
    if not root_file.exists():
        _create_certificates(directory)
        (directory / "tsa-serial").write_text("01\n", encoding="ascii")
    seconds, milliseconds = divmod(accuracy_ms, 1000)
    (directory / _CONFIG_FILE).write_text(_CONFIG.format(seconds=seconds, milliseconds=milliseconds), encoding="ascii")
    return root_file


def _create_certificates(directory: Path) -> None:
    root_key, signer_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_name, signer_name = _name("attestream embedded TSA root"), _name("attestream embedded TSA")
    root = (
        _certificate(root_name, root_name, root_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(root_key.public_key()), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    signer = (
        _certificate(signer_name, root_name, signer_key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    key_file = directory / "tsa-signer.key"
    key_file.touch(mode=0o600)
    key_file.write_bytes(signer_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (directory / "tsa-signer.pem").write_bytes(signer.public_bytes(Encoding.PEM))
    (directory / ROOT_FILE).write_bytes(root.public_bytes(Encoding.PEM))  # last: then the others exist


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=_DAYS))
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def answer(directory: Path, query: bytes) -> bytes:
    """The TimeStampResp to a TimeStampReq; a rejection if openssl cannot read the request.

    Raises:
        RuntimeError: openssl failed; the message holds its output.
    """
    with (directory / "tsa-serial.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # openssl reads, adds one and writes the serial number without a lock
        # openssl also prints missing optional settings as errors: not to the terminal.
        done = subprocess.run(
            ["openssl", "ts", "-reply", "-config", _CONFIG_FILE, "-queryfile", "/dev/stdin"],
            cwd=directory,
            input=query,
            capture_output=True,
            timeout=_OPENSSL_SECONDS,
            check=False,
        )
    if done.returncode != 0 or not done.stdout:
        raise RuntimeError(
            f"openssl ts -reply: status {done.returncode}: {done.stderr.decode(errors='replace')[-500:]}"
        )
    return done.stdout


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout: ClassVar[float | None] = _READ_SECONDS

    def do_POST(self) -> None:
        """Answers one TimeStampReq on any path."""
        self.close_connection = True
        length = self.headers.get("Content-Length", "")
        if self.headers.get_content_type() != "application/timestamp-query":
            self.send_error(415, "expected application/timestamp-query")
        elif not length.isdecimal() or int(length) > _MAX_QUERY_BYTES:
            self.send_error(413, f"expected a Content-Length of at most {_MAX_QUERY_BYTES}")
        else:
            self._reply(self.rfile.read(int(length)))

    def _reply(self, query: bytes) -> None:
        try:
            reply = answer(cast("_Server", self.server).directory, query)
        except (OSError, RuntimeError, subprocess.TimeoutExpired) as error:
            print(f"embedded TSA: {error}", file=sys.stderr)
            self.send_error(500, "openssl failed")
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/timestamp-reply")
        self.send_header("Content-Length", str(len(reply)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(reply)

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Silent: a line for each stamp is of no use."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int, directory: Path) -> None:
        self.directory = directory
        super().__init__((HOST, port), _Handler)


@contextmanager
def running_authority(directory: Path, port: int = 0, accuracy_ms: int = DEFAULT_ACCURACY_MS) -> Iterator[str]:
    """Serves until the block ends.

    Args:
        directory: see :func:`create_authority`.
        port: TCP port on the loopback; 0 lets the system choose.
        accuracy_ms: stated in the tokens, milliseconds.

    Yields:
        the URL.
    """
    create_authority(directory, accuracy_ms)
    with _Server(port, directory) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="embedded-tsa")
        thread.start()
        try:
            yield f"http://{HOST}:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.demo.embedded_tsa",
        description="A Time Stamp Authority (RFC 3161) on the loopback, for demo and tests. Ends on SIGTERM or Ctrl-C.",
    )
    parser.add_argument("--directory", type=Path, required=True, help="keeps its certificates; made if missing")
    parser.add_argument("--port", type=int, default=0, help="TCP port; 0, the default, lets the system choose")
    parser.add_argument(
        "--accuracy-ms", type=int, default=DEFAULT_ACCURACY_MS, help="accuracy stated in tokens (%(default)s)"
    )
    options = parser.parse_args(arguments)
    return exit_status(lambda: _serve(options.directory, options.port, options.accuracy_ms))


def _serve(directory: Path, port: int, accuracy_ms: int) -> None:
    stop = Stop().on_signals()
    try:
        with running_authority(directory, port, accuracy_ms) as url:
            print(f"embedded TSA ready at {url}, root certificate {directory / ROOT_FILE}", flush=True)
            while not stop.wait(60):
                pass
    except OSError as error:
        raise ConfigError(f"--directory {directory} --port {port}: {error.strerror}") from error


if __name__ == "__main__":
    sys.exit(main())
