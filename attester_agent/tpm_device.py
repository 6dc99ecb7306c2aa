"""The TPM, over any TCTI. The only importer of tpm2-pytss.

Promises: the TPM is open only within :meth:`TpmDevice.session`; what is loaded is flushed; no session is started
(empty authorizations need none); the one thing left behind is the persistent attesting key. A persistent handle that
holds something else is never evicted. Every failure is a ``WorldError`` with the TPM's own words, or a
:class:`ConfigError` where only an operator can help. Commands that the TPM is too busy for are repeated with growing
pauses.

Does not: put keys that need an authorization value to use, or talk to a TPM that was not started.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeAlias, TypeVar

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from prometheus_client import Histogram
from tpm2_pytss import (
    ESAPI,
    ESYS_TR,
    TPM2_CAP,
    TPM2B_DATA,
    TPM2B_PUBLIC,
    TPML_DIGEST_VALUES,
    TPML_PCR_SELECTION,
    TPMT_HA,
    TPMT_PUBLIC,
    TPMU_HA,
    TSS2_Exception,
)

from attester_agent import tpm_codes
from attester_agent.evidence_builder import Quote
from attester_agent.key_templates import AK_ATTRIBUTES, ak_template, ek_template
from attester_agent.ports import Identity, Life
from attester_agent.settings import Hierarchy, KeyAlgorithm, TpmSettings
from attester_agent.tpm_codes import Answer
from runtime.clock import monotonic_s
from schemas.errors import ConfigError, PeerError, WorldError
from schemas.evidence import SyncProof
from schemas.hashes import BY_TPM_ID, HashAlgorithm
from schemas.identifiers import ueid_from_key
from schemas.pcr import PcrBankSelection, PcrSelection, PcrValues, encode_selection, parse_selection
from schemas.reasons import Reason
from schemas.tpm_public import EccKey, TpmPublic, check_attestation_key, parse_public

_SECONDS: Final = Histogram("attestream_tpm_seconds", "Time of TPM commands, retries included", ["command"])
_RETRY_PAUSES_S: Final = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
_NO_PCRS: Final = PcrSelection(banks=())
_EK_HANDLES: Final = {
    KeyAlgorithm.RSA: 0x8101_0001,
    KeyAlgorithm.ECC: 0x8101_0002,
}  # TCG EK Credential Profile, 2.2.1.5
_HIERARCHIES: Final = {Hierarchy.ENDORSEMENT: ESYS_TR.ENDORSEMENT, Hierarchy.OWNER: ESYS_TR.OWNER}

T = TypeVar("T")
# tpm2-pytss carries no types; nothing of it leaves this module.
_Esapi: TypeAlias = Any
_Handle: TypeAlias = Any  # ESYS_TR
_Native: TypeAlias = Any  # a structure of libtss2


class TpmDevice:
    """A TPM with its attesting key (``attester_agent.ports.Tpm``)."""

    def __init__(self, settings: TpmSettings, *, pause: Callable[[float], bool]) -> None:
        """Touches nothing yet.

        Args:
            settings: table ``[tpm]``.
            pause: waits so many seconds; True ends all trying (the process stops).
        """
        self._settings = settings
        self._pause = pause

    @contextmanager
    def session(self) -> Iterator["TpmDeviceSession"]:
        """Opens the TPM, loads the attesting key, or makes it if there is none (``ports.Tpm.session``).

        Raises:
            ConfigError: ``ak_handle`` holds something that is not such a key.
            WorldError: ``tpm-unreachable``, ``tpm-busy``, ``tpm-locked-out``, ``tpm-fatal``.
        """
        with self._open() as esapi:
            run = _Runner(self._pause)
            key = self._load_key(esapi, run)
            if key is None:
                key = self._make_key(esapi, run)
            handle, public = key
            yield TpmDeviceSession(esapi, run, handle, public)

    @contextmanager
    def registers(self) -> Iterator["TpmRegisters"]:
        """Opens the TPM for its PCRs alone: loads no key and leaves nothing (``ports.Registers``).

        Raises:
            WorldError: ``tpm-unreachable``, ``tpm-busy``, ``tpm-locked-out``, ``tpm-fatal``.
        """
        with self._open() as esapi:
            yield TpmRegisters(esapi, _Runner(self._pause))

    def identity(self) -> Identity:
        """Who this device is; makes the attesting key if there is none yet.

        Raises:
            ConfigError, WorldError: as :meth:`session`.
        """
        with self.session() as session:
            ek = session.endorsement_key(rsa=self._settings.ek == KeyAlgorithm.RSA)
            spki = ek.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            return Identity(ueid=ueid_from_key(spki), public=session.public.raw, environment=session.public.name)

    @contextmanager
    def _open(self) -> Iterator[_Esapi]:
        tcti = self._settings.tcti
        try:
            esapi = ESAPI(tcti)
        except (TSS2_Exception, RuntimeError) as error:
            raise WorldError(Reason.TPM_UNREACHABLE, f"tcti {tcti!r}: {error}") from error
        try:
            yield esapi
        finally:
            esapi.close()

    def _load_key(self, esapi: _Esapi, run: "_Runner") -> tuple[_Handle, TpmPublic] | None:
        persistent = self._settings.ak_handle
        loaded = _load_persistent(esapi, run, persistent)
        if loaded is None:
            return None
        handle, raw = loaded
        try:
            public = parse_public(raw)
            check_attestation_key(public)
        except PeerError as error:
            raise self._occupied(f"not an attestation key ({error.detail})") from error
        wanted = self._settings.ak_algorithm
        if public.attributes != AK_ATTRIBUTES or isinstance(public.key, EccKey) != (wanted == KeyAlgorithm.ECC):
            raise self._occupied(f"an attestation key, but not one of ours for ak_algorithm {wanted!r}")
        return handle, public

    def _occupied(self, what: str) -> ConfigError:
        persistent = self._settings.ak_handle
        return ConfigError(
            f"tpm.ak_handle: {persistent:#x} holds {what}. Set another ak_handle, or, if nobody needs what is there, "
            f"remove it: tpm2_evictcontrol -C o -c {persistent:#x}"
        )

    def _make_key(self, esapi: _Esapi, run: "_Runner") -> tuple[_Handle, TpmPublic]:
        settings = self._settings
        template = ak_template(rsa=settings.ak_algorithm == KeyAlgorithm.RSA)
        hierarchy = _HIERARCHIES[Hierarchy(settings.hierarchy)]
        try:
            transient = _create_primary(esapi, run, template, hierarchy)
            with _flushed(esapi, transient):
                run("evict-control", lambda: esapi.evict_control(ESYS_TR.OWNER, transient, settings.ak_handle))
        except _TpmError as error:
            if tpm_codes.is_hierarchy_closed(error.return_code):
                raise ConfigError(
                    f"tpm.hierarchy: the TPM refused to make the attesting key ({error.detail}). The owner and the "
                    f"{settings.hierarchy} hierarchy must have no authorization value while it is made"
                ) from error
            raise
        key = self._load_key(esapi, run)
        if key is None:
            raise WorldError(Reason.TPM_FATAL, f"{settings.ak_handle:#x}: empty after the key was put there")
        return key


class TpmDeviceSession:
    """An open TPM (``ports.TpmSession``). Valid only inside the ``with`` that gave it."""

    def __init__(self, esapi: _Esapi, run: "_Runner", key: _Handle, public: TpmPublic) -> None:
        self._esapi = esapi
        self._run = run
        self._key = key
        self.public: Final = public

    @property
    def environment(self) -> bytes:
        """TPM name of the attesting key."""
        return self.public.name

    def sync(self, qualifying_data: bytes) -> SyncProof:
        """TPM2_GetTime; a quote of no PCR when the endorsement hierarchy does not let us in.

        Raises:
            WorldError: ``tpm-…``.
        """
        try:
            attest, signature = self._run(
                "get-time", lambda: self._esapi.get_time(self._key, TPM2B_DATA(qualifying_data))
            )
        except _TpmError as error:
            if not tpm_codes.is_hierarchy_closed(error.return_code):
                raise
            quote = self.quote(qualifying_data, _NO_PCRS)
            return SyncProof(attest=quote.attest, signature=quote.signature)
        return SyncProof(attest=bytes(attest), signature=signature.marshal())

    def quote(self, qualifying_data: bytes, selection: PcrSelection) -> Quote:
        """TPM2_Quote with the key's own scheme.

        Raises:
            WorldError: ``tpm-…``.
        """
        attest, signature = self._run(
            "quote",
            lambda: self._esapi.quote(self._key, _to_tpm(selection), TPM2B_DATA(qualifying_data)),
        )
        return Quote(attest=bytes(attest), signature=signature.marshal())

    def read_pcrs(self, selection: PcrSelection) -> PcrValues:
        """TPM2_PCR_Read, as often as it takes: a TPM returns at most eight values a time.

        Returns:
            The values of those selected PCRs that the TPM has.

        Raises:
            WorldError: ``tpm-…``.
        """
        return _read_pcrs(self._esapi, self._run, selection)

    def life(self) -> Life:
        """TPM2_ReadClock.

        Raises:
            WorldError: ``tpm-…``.
        """
        return _life(self._esapi, self._run)

    def endorsement_key(self, *, rsa: bool) -> TpmPublic:
        """The endorsement key of the TCG's default template, made anew and flushed.

        Where the endorsement hierarchy is closed, the key that the manufacturer or owner left at the TCG's handle.

        Raises:
            WorldError: ``tpm-fatal`` when there is neither, or another ``tpm-…``.
        """
        try:
            transient = _create_primary(self._esapi, self._run, ek_template(rsa=rsa), ESYS_TR.ENDORSEMENT)
        except _TpmError as error:
            if not tpm_codes.is_hierarchy_closed(error.return_code):
                raise
            persistent = _EK_HANDLES[KeyAlgorithm.RSA if rsa else KeyAlgorithm.ECC]
            loaded = _load_persistent(self._esapi, self._run, persistent)
            if loaded is None:
                raise WorldError(
                    Reason.TPM_FATAL,
                    f"no endorsement key: the endorsement hierarchy is closed ({error.detail}) and {persistent:#x} is "
                    f"empty; provision while it is open, or put the key there: tpm2_createek -c {persistent:#x}",
                ) from error
            return parse_public(loaded[1])
        with _flushed(self._esapi, transient):
            return parse_public(_public_of(self._esapi, self._run, transient))


class TpmRegisters:
    """An open TPM's PCRs (``ports.Registers``). Every method raises ``WorldError`` (``tpm-…``)."""

    def __init__(self, esapi: _Esapi, run: "_Runner") -> None:
        self._esapi = esapi
        self._run = run

    def life(self) -> Life:
        """TPM2_ReadClock."""
        return _life(self._esapi, self._run)

    def read(self, index: int) -> dict[HashAlgorithm, bytes]:
        """One PCR in every allocated bank."""
        _, found = self._run("get-capability", lambda: self._esapi.get_capability(TPM2_CAP.PCRS, 0, 1))
        banks = [
            BY_TPM_ID[int(bank.hash)]
            for bank in found.data.assignedPCR
            if int(bank.hash) in BY_TPM_ID and int.from_bytes(bytes(bank.pcrSelect), "little") >> index & 1
        ]
        selection = PcrSelection(banks=tuple(PcrBankSelection(algorithm=bank, indices=(index,)) for bank in banks))
        return {bank: value for bank, _, value in _read_pcrs(self._esapi, self._run, selection)}

    def extend(self, index: int, digests: Mapping[HashAlgorithm, bytes]) -> None:
        """TPM2_PCR_Extend."""
        values = TPML_DIGEST_VALUES(
            [TPMT_HA(hashAlg=bank.tpm_id, digest=TPMU_HA(**{bank.name: each})) for bank, each in digests.items()]
        )
        self._run("pcr-extend", lambda: self._esapi.pcr_extend(ESYS_TR(index), values))  # a PCR's handle: its index


class _TpmError(WorldError):
    """A WorldError that remembers the return code."""

    def __init__(self, reason: Reason, detail: str, return_code: int) -> None:
        super().__init__(reason, detail)
        self.return_code = return_code


class _Runner:
    """Runs TPM commands: measures, translates errors, repeats what was only busy."""

    def __init__(self, pause: Callable[[float], bool]) -> None:
        self._pause = pause

    def __call__(self, command: str, function: Callable[[], T]) -> T:
        start_s = monotonic_s()
        pauses = iter(_RETRY_PAUSES_S)
        try:
            while True:
                try:
                    return function()
                except TSS2_Exception as error:
                    answer = tpm_codes.classify(error.rc)
                    pause_s = next(pauses, None) if answer is Answer.RETRY else None
                    if pause_s is None or self._pause(pause_s):
                        detail = f"{command}: {error} ({error.rc:#x})"
                        raise _TpmError(tpm_codes.REASONS[answer], detail, int(error.rc)) from error
        finally:
            _SECONDS.labels(command).observe(monotonic_s() - start_s)


def _life(esapi: _Esapi, run: _Runner) -> Life:
    info = run("read-clock", esapi.read_clock).clockInfo
    return Life(reset_count=int(info.resetCount), restart_count=int(info.restartCount))


def _read_pcrs(esapi: _Esapi, run: _Runner, selection: PcrSelection) -> PcrValues:
    values = PcrValues({})
    missing = selection
    while tuple(missing):
        native = _to_tpm(missing)
        _, returned, digests = run("pcr-read", functools.partial(esapi.pcr_read, native))
        registers = tuple(parse_selection(returned.marshal()))
        if not registers:
            break
        read: dict[HashAlgorithm, dict[int, bytes]] = {}
        for (bank, index), digest in zip(registers, digests, strict=True):
            read.setdefault(bank, {})[index] = bytes(digest)
        values = values.updated(PcrValues(read))
        missing = _without(missing, frozenset(registers))
    return values


def _create_primary(esapi: _Esapi, run: _Runner, template: bytes, hierarchy: _Handle) -> _Handle:
    public, _ = TPMT_PUBLIC.unmarshal(template)
    in_public = TPM2B_PUBLIC(publicArea=public)
    handle: _Handle
    handle, *_ = run("create-primary", lambda: esapi.create_primary(None, in_public, primary_handle=hierarchy))
    return handle


@contextmanager
def _flushed(esapi: _Esapi, transient: _Handle) -> Iterator[None]:
    """Flushes a transient object at the end, even when the TPM has just failed."""
    try:
        yield
    finally:
        with suppress(TSS2_Exception):  # nothing to add to what failed before; a lost TPM has lost its objects too
            esapi.flush_context(transient)


def _load_persistent(esapi: _Esapi, run: _Runner, persistent: int) -> tuple[_Handle, bytes] | None:
    """ESYS handle and TPMT_PUBLIC of a persistent object; None when the handle is empty."""
    _, found = run("get-capability", lambda: esapi.get_capability(TPM2_CAP.HANDLES, persistent, 1))
    if persistent not in [int(handle) for handle in found.data.handles]:
        return None
    handle: _Handle = run("load-key", lambda: esapi.tr_from_tpmpublic(persistent))
    return handle, _public_of(esapi, run, handle)


def _public_of(esapi: _Esapi, run: _Runner, handle: _Handle) -> bytes:
    public, _, _ = run("read-public", lambda: esapi.read_public(handle))
    raw: bytes = public.publicArea.marshal()
    return raw


def _to_tpm(selection: PcrSelection) -> _Native:
    native, _ = TPML_PCR_SELECTION.unmarshal(encode_selection(selection))
    return native


def _without(selection: PcrSelection, registers: frozenset[tuple[HashAlgorithm, int]]) -> PcrSelection:
    banks = (
        PcrBankSelection(
            algorithm=bank.algorithm,
            indices=tuple(index for index in bank.indices if (bank.algorithm, index) not in registers),
        )
        for bank in selection.banks
    )
    return PcrSelection(banks=tuple(bank for bank in banks if bank.indices))
