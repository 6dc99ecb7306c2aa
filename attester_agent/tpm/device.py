"""The TPM as the agent uses it for attesting, over any TCTI.

The TPM is open only within :meth:`TpmDevice.session` or :meth:`TpmDevice.registers`. Loaded objects are flushed. No
authorization session is started, as empty authorization values need none. Only the persistent attesting key is left
behind. If its handle holds something else, that is never evicted. Errors are as in ``commands``.

Keys that need an authorization value are not supported, nor is a TPM that was not started.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tpm2_pytss import (
    ESYS_TR,
    TPM2_CAP,
    TPM2B_DATA,
    TPML_DIGEST_VALUES,
    TPML_PCR_SELECTION,
    TPMT_HA,
    TPMU_HA,
)

from attester_agent.core import tpm_codes
from attester_agent.core.evidence_builder import Quote
from attester_agent.core.key_templates import AK_ATTRIBUTES, ak_template
from attester_agent.ports import Identity, PcrLifetime
from attester_agent.settings import Hierarchy, KeyAlgorithm, TpmSettings
from attester_agent.tpm.commands import (
    Esapi,
    Handle,
    Native,
    Runner,
    TpmError,
    create_primary,
    endorsement_key,
    flushed,
    load_persistent,
    open_tpm,
    public_of,
)
from schemas.errors import ConfigError, PeerError, WorldError
from schemas.hashes import BY_TPM_ID, HashAlgorithm
from schemas.identifiers import ueid_from_key
from schemas.messages.evidence import SyncProof
from schemas.reasons import Reason
from schemas.tpm.pcr import PcrBankSelection, PcrSelection, PcrValues, encode_selection, parse_selection
from schemas.tpm.public import EccKey, TpmPublic, check_attestation_key, parse_public

_NO_PCRS: Final = PcrSelection(banks=())
_HIERARCHIES: Final = {Hierarchy.ENDORSEMENT: ESYS_TR.ENDORSEMENT, Hierarchy.OWNER: ESYS_TR.OWNER}


class TpmDevice:
    """A TPM with its attesting key (``attester_agent.ports.Tpm``)."""

    def __init__(
        self,
        settings: TpmSettings,
        *,
        pause: Callable[[float], bool],
        watch: Callable[[str, float, float], None] | None = None,
    ) -> None:
        """Opens nothing yet.

        Args:
            settings: table ``[tpm]``.
            pause: waits, the given number of seconds; returns True to give up (the process stops).
            watch: gets each command's name, start and end.
        """
        self._settings = settings
        self._pause = pause
        self._watch = watch

    @contextmanager
    def session(self) -> Iterator["TpmDeviceSession"]:
        """Opens the TPM and loads the attesting key; makes the key if there is none (``ports.Tpm.session``).

        Raises:
            ConfigError: ``ak_handle`` holds something else.
            WorldError: ``tpm-unreachable``, ``tpm-busy``, ``tpm-locked-out``, ``tpm-fatal``.
        """
        with open_tpm(self._settings) as esapi:
            run = Runner(self._pause, self._watch)
            key = self._load_key(esapi, run)
            if key is None:
                key = self._make_key(esapi, run)
            handle, public = key
            yield TpmDeviceSession(esapi, run, handle, public)

    @contextmanager
    def registers(self) -> Iterator["TpmRegisters"]:
        """Opens the TPM for its PCRs only: loads no key and leaves nothing behind (``ports.Registers``).

        Raises:
            WorldError: ``tpm-unreachable``, ``tpm-busy``, ``tpm-locked-out``, ``tpm-fatal``.
        """
        with open_tpm(self._settings) as esapi:
            yield TpmRegisters(esapi, Runner(self._pause, self._watch))

    def identity(self) -> Identity:
        """The device's identity; makes the attesting key if there is none yet.

        Raises:
            ConfigError, WorldError: as :meth:`session`.
        """
        with self.session() as session:
            return self._identity(session)

    def find_identity(self) -> Identity | None:
        """The device's identity; None if there is no attesting key yet. Makes nothing.

        Raises:
            ConfigError, WorldError: as :meth:`session`.
        """
        with open_tpm(self._settings) as esapi:
            run = Runner(self._pause, self._watch)
            key = self._load_key(esapi, run)
            return None if key is None else self._identity(TpmDeviceSession(esapi, run, *key))

    def _identity(self, session: "TpmDeviceSession") -> Identity:
        ek = session.endorsement_key(rsa=self._settings.ek == KeyAlgorithm.RSA)
        spki = ek.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return Identity(ueid=ueid_from_key(spki), public=session.public.raw, environment=session.public.name)

    def _load_key(self, esapi: Esapi, run: Runner) -> tuple[Handle, TpmPublic] | None:
        persistent = self._settings.ak_handle
        loaded = load_persistent(esapi, run, persistent)
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
            raise self._occupied(f"an attestation key, but not such as the agent makes for ak_algorithm {wanted!r}")
        return handle, public

    def _occupied(self, what: str) -> ConfigError:
        persistent = self._settings.ak_handle
        return ConfigError(
            f"tpm.ak_handle: {persistent:#x} holds {what}. Set another ak_handle, or, if nobody needs this object, "
            f"remove it: tpm2_evictcontrol -C o -c {persistent:#x}"
        )

    def _make_key(self, esapi: Esapi, run: Runner) -> tuple[Handle, TpmPublic]:
        settings = self._settings
        template = ak_template(rsa=settings.ak_algorithm == KeyAlgorithm.RSA)
        hierarchy = _HIERARCHIES[Hierarchy(settings.hierarchy)]
        try:
            transient = create_primary(esapi, run, template, hierarchy)
            with flushed(esapi, transient):
                run("evict-control", lambda: esapi.evict_control(ESYS_TR.OWNER, transient, settings.ak_handle))
        except TpmError as error:
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
    """An open TPM (``ports.TpmSession``). Valid only inside the ``with`` block that opened it."""

    def __init__(self, esapi: Esapi, run: Runner, key: Handle, public: TpmPublic) -> None:
        self._esapi = esapi
        self._run = run
        self._key = key
        self.public: Final = public

    @property
    def environment(self) -> bytes:
        """TPM name of the attesting key."""
        return self.public.name

    def sync(self, qualifying_data: bytes) -> SyncProof:
        """TPM2_GetTime; a quote without PCRs if the endorsement hierarchy is closed.

        Raises:
            WorldError: ``tpm-…``.
        """
        try:
            attest, signature = self._run(
                "get-time", lambda: self._esapi.get_time(self._key, TPM2B_DATA(qualifying_data))
            )
        except TpmError as error:
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
        """TPM2_PCR_Read, repeated until all values are read: a TPM returns at most eight at a time.

        Returns:
            The values of those selected PCRs that the TPM has.

        Raises:
            WorldError: ``tpm-…``.
        """
        return _read_pcrs(self._esapi, self._run, selection)

    def pcr_lifetime(self) -> PcrLifetime:
        """TPM2_ReadClock.

        Raises:
            WorldError: ``tpm-…``.
        """
        return _pcr_lifetime(self._esapi, self._run)

    def endorsement_key(self, *, rsa: bool) -> TpmPublic:
        """The public part of :func:`attester_agent.tpm.commands.endorsement_key`.

        Raises:
            WorldError: ``tpm-…``.
        """
        with endorsement_key(self._esapi, self._run, rsa=rsa) as key:
            return parse_public(public_of(self._esapi, self._run, key))


class TpmRegisters:
    """An open TPM's PCRs (``ports.Registers``). Every method raises ``WorldError`` (``tpm-…``)."""

    def __init__(self, esapi: Esapi, run: Runner) -> None:
        self._esapi = esapi
        self._run = run

    def pcr_lifetime(self) -> PcrLifetime:
        """TPM2_ReadClock."""
        return _pcr_lifetime(self._esapi, self._run)

    def read(self, index: int) -> dict[HashAlgorithm, bytes]:
        """The value of one PCR in every allocated bank."""
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


def _pcr_lifetime(esapi: Esapi, run: Runner) -> PcrLifetime:
    info = run("read-clock", esapi.read_clock).clockInfo
    return PcrLifetime(reset_count=int(info.resetCount), restart_count=int(info.restartCount))


def _read_pcrs(esapi: Esapi, run: Runner, selection: PcrSelection) -> PcrValues:
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


def _to_tpm(selection: PcrSelection) -> Native:
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
