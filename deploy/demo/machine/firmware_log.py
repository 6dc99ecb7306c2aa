"""The recorded boot log, used to boot a device: the digests that extend each PCR, and the resulting PCRs. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from schemas.boot_log import records as boot_records
from schemas.errors import ConfigError
from schemas.hashes import BY_NAME, BY_TPM_ID, HashAlgorithm
from schemas.tpm.pcr import PcrValues


@dataclass(frozen=True, slots=True, kw_only=True)
class Firmware:
    """One recorded boot.

    Attributes:
        boot_log: ``binary_bios_measurements``.
        registers: all PCRs after that boot, as the recorded machine had them.
    """

    boot_log: bytes
    registers: PcrValues

    def extensions(self) -> Iterator[tuple[int, dict[HashAlgorithm, bytes]]]:
        """PCR index and digest by bank of every event that was extended, in order."""
        cut = boot_records.split_records(self.boot_log)
        for number, record in enumerate(cut.records):
            event = boot_records.parse_event(record, cut.format if number else None)
            if event.extended:
                yield event.pcr_index, {BY_TPM_ID[tpm_id]: digest for tpm_id, digest in event.digests}

    def logged_pcrs(self) -> frozenset[int]:
        """The PCRs that the boot log extends."""
        return frozenset(index for index, _ in self.extensions())


def parse_registers(text: str) -> PcrValues:
    """Reads ``bank index digest`` lines.

    Raises:
        ConfigError: a line is something else.
    """
    banks: dict[HashAlgorithm, dict[int, bytes]] = {}
    for line in text.splitlines():
        try:
            bank, index, digest = line.split()
            banks.setdefault(BY_NAME[bank], {})[int(index)] = bytes.fromhex(digest)
        except (ValueError, KeyError) as error:
            raise ConfigError(f"recorded PCRs: {line[:80]!r} is not a bank, an index and a digest") from error
    return PcrValues(banks)
