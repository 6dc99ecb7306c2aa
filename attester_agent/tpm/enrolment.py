"""The TPM as enrolment uses it: reads its EK certificate, opens a secret that the endorser sealed, certifies keys.

As in ``device``, loaded objects and sessions are flushed; nothing is left behind.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from tpm2_pytss import (
    ESYS_TR,
    TPM2_ALG,
    TPM2_CAP,
    TPM2_SE,
    TPM2B_DATA,
    TPM2B_DIGEST,
    TPM2B_ENCRYPTED_SECRET,
    TPM2B_ID_OBJECT,
    TPM2B_NONCE,
    TPMA_NV,
    TPMT_SIG_SCHEME,
    TPMT_SYM_DEF,
    TSS2_Exception,
)

from attester_agent.core import tpm_codes
from attester_agent.settings import KeyAlgorithm, TpmSettings
from attester_agent.tpm.commands import (
    Esapi,
    Handle,
    Runner,
    TpmError,
    endorsement_key,
    load_persistent,
    open_tpm,
    public_of,
)
from schemas.errors import ConfigError, WorldError
from schemas.reasons import Reason
from schemas.tpm.endorsement_key import NV_CERTIFICATE_P256, NV_CERTIFICATE_RSA, NV_CHAIN

_CERTIFICATES: Final = {KeyAlgorithm.RSA: NV_CERTIFICATE_RSA, KeyAlgorithm.ECC: NV_CERTIFICATE_P256}
_NV_CHUNK_BYTES: Final = 512  # TPM2_PT_NV_BUFFER_MAX is at least this
_MAX_NV_BYTES: Final = 16 * 1024


class TpmEnrolment:
    """A TPM to be enrolled (``attester_agent.enrolment.EnrolmentTpm``)."""

    def __init__(self, settings: TpmSettings, *, pause: Callable[[float], bool]) -> None:
        """Opens nothing yet; the arguments are as in ``TpmDevice``."""
        self._settings = settings
        self._pause = pause

    def endorsement_key(self) -> bytes:
        """TPMT_PUBLIC of the endorsement key that names this device.

        Raises:
            WorldError: ``tpm-…``.
        """
        with open_tpm(self._settings) as esapi:
            run = Runner(self._pause)
            with endorsement_key(esapi, run, rsa=self._is_rsa) as ek:
                return public_of(esapi, run, ek)

    def certificate(self) -> bytes | None:
        """The EK certificate in the TPM's memory: DER, possibly with more bytes after it; None if there is none.

        Raises:
            WorldError: ``tpm-…``.
        """
        index = _CERTIFICATES[KeyAlgorithm(self._settings.ek)]
        with open_tpm(self._settings) as esapi:
            run = Runner(self._pause)
            return _read_nv(esapi, run, index) if index in _defined(esapi, run, index, 1) else None

    def chain(self) -> bytes:
        """The certificates above it, if the manufacturer stored them: concatenated DER, possibly empty.

        Raises:
            WorldError: ``tpm-…``.
        """
        with open_tpm(self._settings) as esapi:
            run = Runner(self._pause)
            found = [index for index in _defined(esapi, run, NV_CHAIN.start, len(NV_CHAIN)) if index in NV_CHAIN]
            return b"".join(_read_nv(esapi, run, index) for index in found)

    def activate(self, credential: bytes, encrypted_secret: bytes) -> bytes:
        """TPM2_ActivateCredential: the secret, if it was sealed for this TPM and its attesting key.

        Raises:
            ConfigError: there is no attesting key, or the endorsement hierarchy has an authorization value.
            WorldError: ``tpm-fatal`` if it was sealed for another TPM or key; another ``tpm-…``.
        """
        with open_tpm(self._settings) as esapi:
            run = Runner(self._pause)
            loaded = load_persistent(esapi, run, self._settings.ak_handle)
            if loaded is None:
                raise ConfigError(f"tpm.ak_handle: {self._settings.ak_handle:#x} is empty; enrol makes a key there")
            with endorsement_key(esapi, run, rsa=self._is_rsa) as ek, _policy_session(esapi, run) as session:
                secret = run(
                    "activate-credential",
                    lambda: esapi.activate_credential(
                        loaded[0],
                        ek,
                        TPM2B_ID_OBJECT(credential=credential),
                        TPM2B_ENCRYPTED_SECRET(secret=encrypted_secret),
                        session1=ESYS_TR.PASSWORD,
                        session2=session,
                    ),
                )
                return bytes(secret)

    def certify(self, iak_handle: int, qualifying_data: bytes) -> tuple[bytes, bytes]:
        """TPM2_Certify: the key at ``iak_handle`` certifies that the attesting key is in the same TPM.

        Returns:
            TPMS_ATTEST and TPMT_SIGNATURE.

        Raises:
            ConfigError: one of the two keys is missing.
            WorldError: ``tpm-…``.
        """
        with open_tpm(self._settings) as esapi:
            run = Runner(self._pause)
            found = [load_persistent(esapi, run, handle) for handle in (self._settings.ak_handle, iak_handle)]
            if found[0] is None or found[1] is None:
                raise ConfigError(f"--iak-handle {iak_handle:#x}: no key there, or none at tpm.ak_handle")
            ak, iak = found[0][0], found[1][0]
            own_scheme = TPMT_SIG_SCHEME(scheme=TPM2_ALG.NULL)
            attest, signature = run("certify", lambda: esapi.certify(ak, iak, TPM2B_DATA(qualifying_data), own_scheme))
            return bytes(attest), signature.marshal()

    @property
    def _is_rsa(self) -> bool:
        return self._settings.ek == KeyAlgorithm.RSA


@contextmanager
def _policy_session(esapi: Esapi, run: Runner) -> Iterator[Handle]:
    """A session that satisfies PolicyA, the policy of endorsement keys: authorization by the endorsement hierarchy."""
    session: Handle = run(
        "start-auth-session",
        lambda: esapi.start_auth_session(
            tpm_key=ESYS_TR.NONE,
            bind=ESYS_TR.NONE,
            session_type=TPM2_SE.POLICY,
            symmetric=TPMT_SYM_DEF(algorithm=TPM2_ALG.NULL),
            auth_hash=TPM2_ALG.SHA256,
        ),
    )
    try:
        try:
            run(
                "policy-secret",
                lambda: esapi.policy_secret(
                    ESYS_TR.ENDORSEMENT, session, TPM2B_NONCE(), TPM2B_DIGEST(), TPM2B_NONCE(), 0
                ),
            )
        except TpmError as error:
            if not tpm_codes.is_hierarchy_closed(error.return_code):
                raise
            raise ConfigError(
                f"the TPM's endorsement hierarchy has an authorization value ({error.detail}); enrol while it has none"
            ) from error
        yield session
    finally:
        with suppress(TSS2_Exception):  # the authorized command has ended the session already, unless it failed
            esapi.flush_context(session)


def _defined(esapi: Esapi, run: Runner, first: int, count: int) -> list[int]:
    """The defined NV indices from ``first`` on, at most ``count``."""
    _, found = run("get-capability", lambda: esapi.get_capability(TPM2_CAP.HANDLES, first, count))
    return [int(handle) for handle in found.data.handles]


def _read_nv(esapi: Esapi, run: Runner, index: int) -> bytes:
    handle: Handle = run("load-nv", lambda: esapi.tr_from_tpmpublic(index))
    public, _ = run("nv-read-public", lambda: esapi.nv_read_public(handle))
    size = int(public.nvPublic.dataSize)
    if size > _MAX_NV_BYTES:
        raise WorldError(Reason.TPM_FATAL, f"NV index {index:#x}: {size} bytes, no certificate is that large")
    owner = int(public.nvPublic.attributes) & int(TPMA_NV.AUTHREAD) == 0
    authority = ESYS_TR.OWNER if owner else handle
    content = b""
    while len(content) < size:
        part = min(_NV_CHUNK_BYTES, size - len(content))
        content += bytes(_read_part(esapi, run, handle, authority, part, len(content)))
    return content


def _read_part(esapi: Esapi, run: Runner, handle: Handle, authority: Handle, size: int, offset: int) -> bytes:
    return bytes(run("nv-read", lambda: esapi.nv_read(handle, size, offset, auth_handle=authority)))
