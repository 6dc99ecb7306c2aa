"""A TPM as firmware and kernel use it: extend PCRs, read them, shut down. The demo's only importer of tpm2-pytss.

The TPM serves one command at a time and libtss2 connects again for each, so this and an attester agent take turns.
"""

from collections.abc import Mapping
from typing import Final

from tpm2_pytss import ESAPI, TPM2_CAP, TPM2_SU, TSS2_Exception
from tpm2_pytss.constants import ESYS_TR
from tpm2_pytss.types import TPML_DIGEST_VALUES, TPMT_HA, TPMU_HA

from deploy.demo.problem import DemoError
from schemas.hashes import BY_TPM_ID, HashAlgorithm
from schemas.tpm.pcr import PCR_SELECT_BYTES, PcrSelection, PcrValues, selection_text

_PCR_HANDLES: Final = range(24)  # TPM 2.0 Part 2, "TPM_HT": the handle of a PCR is its index


class MeasuringTpm:
    """One TPM, from its power-on until its power-off. Owned by one thread."""

    def __init__(self, tcti: str) -> None:
        """Connects.

        Args:
            tcti: as libtss2 writes it.

        Raises:
            DemoError: the TPM does not answer.
        """
        try:
            self._esapi = ESAPI(tcti)
            _, capability = self._esapi.get_capability(TPM2_CAP.PCRS, 0, 8)
        except TSS2_Exception as error:
            raise DemoError(f"TPM {tcti}: {error}") from error
        # A bank that is switched off is listed too, without any PCR.
        self.banks: Final[tuple[HashAlgorithm, ...]] = tuple(
            BY_TPM_ID[int(bank.hash)]
            for bank in capability.data.assignedPCR
            if any(bytes(bank.pcrSelect)[:PCR_SELECT_BYTES]) and int(bank.hash) in BY_TPM_ID
        )

    def extend(self, index: int, digests: Mapping[HashAlgorithm, bytes]) -> None:
        """TPM2_PCR_Extend of one register in all banks at once.

        Args:
            index: of the PCR.
            digests: by bank; a bank without a digest is not extended, a digest of an inactive bank is ignored.

        Raises:
            DemoError: the TPM refused or does not answer.
        """
        values = [
            TPMT_HA(hashAlg=bank.tpm_id, digest=TPMU_HA(**{bank.name: digests[bank]}))
            for bank in self.banks
            if bank in digests
        ]
        try:
            self._esapi.pcr_extend(ESYS_TR(_PCR_HANDLES[index]), TPML_DIGEST_VALUES(values))
        except TSS2_Exception as error:
            raise DemoError(f"PCR {index} was not extended: {error}") from error

    def read(self, selection: PcrSelection) -> PcrValues:
        """The registers of ``selection``, read with one command each.

        Raises:
            DemoError: the TPM refused or does not answer.
        """
        banks: dict[HashAlgorithm, dict[int, bytes]] = {}
        try:
            for bank, index in selection:
                _, _, digests = self._esapi.pcr_read(f"{bank.name}:{index}")
                banks.setdefault(bank, {})[index] = bytes(digests[0])
        except (TSS2_Exception, IndexError) as error:
            raise DemoError(f"PCRs {selection_text(selection)} were not read: {error}") from error
        return PcrValues(banks)

    def shut_down(self) -> None:
        """TPM2_Shutdown(CLEAR), the last command of an orderly operating system; the clock stays safe."""
        try:
            self._esapi.shutdown(TPM2_SU.CLEAR)
        except TSS2_Exception as error:
            raise DemoError(f"the TPM did not shut down: {error}") from error

    def close(self) -> None:
        """Disconnects from the TPM."""
        self._esapi.close()
