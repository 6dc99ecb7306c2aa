"""The measuring part of a device's firmware and kernel: the recorded boot, then real files of this machine.

One thread for each device owns the TPM's PCRs and the IMA list. It appends a record before it extends the PCR, as the
kernel does, so a reader never finds the list behind the PCR.
"""

import hashlib
import os
import queue
import threading
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.demo.machine.firmware_log import Firmware
from deploy.demo.machine.ima_list import AGGREGATED_PCRS, PCR_INDEX, boot_aggregate, measurement
from deploy.demo.machine.measuring import MeasuringTpm
from deploy.demo.problem import DemoError
from deploy.demo.reference_files import AGENT_PATH, AGENT_SOURCE
from schemas.hashes import SHA256
from schemas.tpm.pcr import PcrBankSelection, PcrSelection

BOOT_LOG: Final = "binary_bios_measurements"
IMA_LIST: Final = "binary_runtime_measurements"
BOOT_ID: Final = "boot_id"  # of this device: all devices share this machine's kernel
FILES_AT_BOOT: Final = 25
FILE_EVERY_S: Final = 1.2
_AGGREGATED: Final = PcrSelection(banks=(PcrBankSelection(algorithm=SHA256, indices=tuple(AGGREGATED_PCRS)),))


class Kernel:
    """One boot of one device."""

    def __init__(self, tcti: str, directory: Path, files: Sequence[Path]) -> None:
        """Does nothing yet.

        Args:
            tcti: the device's TPM, switched on.
            directory: where the two logs appear.
            files: to measure, one after the other, each once in a boot.
        """
        self._directory = directory
        self._files = files
        self._tpm = MeasuringTpm(tcti)
        self._demanded: queue.SimpleQueue[Path | None] = queue.SimpleQueue()  # None: halt
        self._thread = threading.Thread(target=self._live, name=f"kernel-{directory.name}", daemon=True)
        self.failure: str | None = None  # written by the thread, once
        self.entries = 0  # written by the thread

    def boot(self, firmware: Firmware) -> None:
        """Replays the recorded boot into the TPM, writes both logs, and starts to measure files.

        Raises:
            DemoError: the TPM refused, or has other PCRs than the recorded machine.
        """
        for index, digests in firmware.extensions():
            self._tpm.extend(index, digests)
        registers = self._tpm.read(_AGGREGATED)
        if any(firmware.registers.get(bank, index) != digest for bank, index, digest in registers):
            raise DemoError("the recorded boot log does not lead to the recorded PCRs")
        _write_new(self._directory / BOOT_LOG, firmware.boot_log)
        first = boot_aggregate(registers)
        _write_new(self._directory / IMA_LIST, first.record)
        self._tpm.extend(PCR_INDEX, first.extensions(self._tpm.banks))
        self.entries = 1
        _write_new(self._directory / BOOT_ID, str(uuid.uuid4()).encode())
        self._measure(AGENT_SOURCE, AGENT_PATH)
        for path in self._files[:FILES_AT_BOOT]:
            self._measure(path)
        self._thread.start()

    def run_program(self, path: Path) -> None:
        """Measures a file now, as the kernel does before it runs it."""
        self._demanded.put(path)

    def halt(self, *, orderly: bool) -> None:
        """Ends this boot; if ``orderly``, with TPM2_Shutdown, so that the TPM's clock stays safe."""
        self._demanded.put(None)
        if self._thread.is_alive():
            self._thread.join()
        if orderly:
            self._tpm.shut_down()
        self._tpm.close()

    def _live(self) -> None:
        remaining = iter(self._files[FILES_AT_BOOT:])
        try:
            while True:
                try:
                    path = self._demanded.get(timeout=FILE_EVERY_S)
                    if path is None:
                        return
                except queue.Empty:
                    path = next(remaining, None)
                if path is not None:
                    self._measure(path)
        except DemoError as error:
            self.failure = str(error)

    def _measure(self, path: Path, listed: str | None = None) -> None:
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").digest()
        except OSError:  # removed since the demo began; a removed file cannot run
            return
        entry = measurement(listed or str(path), digest)
        with (self._directory / IMA_LIST).open("ab", buffering=0) as log:
            log.write(entry.record)
        self._tpm.extend(PCR_INDEX, entry.extensions(self._tpm.banks))
        self.entries += 1


def _write_new(path: Path, content: bytes) -> None:
    """Replaces a file by a new one; a reader that has the old file open still reads the old boot."""
    temporary = path.with_suffix(".new")
    temporary.write_bytes(content)
    os.replace(temporary, path)  # noqa: PTH105 Path.replace does the same, but its name does not show it
