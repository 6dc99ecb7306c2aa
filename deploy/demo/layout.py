"""The paths of one run: in a temporary directory, or in the one given by ``--keep``."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """The paths of one run.

    Attributes:
        root: of everything that ``--keep`` keeps.
        sockets: a short path for the TPMs' sockets (their names may have 108 bytes); always temporary.
    """

    root: Path
    sockets: Path

    def make(self) -> None:
        """Makes all directories."""
        for folder in (self.keys, self.signed, self.broker, self.tsa, self.distributor, self.verifier, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        self.devices.mkdir(exist_ok=True)

    @property
    def keys(self) -> Path:
        """Key pairs ``NAME.key`` and ``NAME.pub`` (of the audit log ``.vkey``)."""
        return self.root / "keys"

    @property
    def signed(self) -> Path:
        """The objects that the endorser signed."""
        return self.root / "endorser"

    @property
    def broker(self) -> Path:
        """Mosquitto's configuration and database."""
        return self.root / "broker"

    @property
    def tsa(self) -> Path:
        """The embedded TSA's keys and certificates."""
        return self.root / "tsa"

    @property
    def distributor(self) -> Path:
        """The handle distributor's configuration and state."""
        return self.root / "distributor"

    @property
    def verifier(self) -> Path:
        """The verifier worker's configuration, policy, state and audit log."""
        return self.root / "verifier"

    @property
    def devices(self) -> Path:
        """One directory a device, by its number."""
        return self.root / "devices"

    @property
    def logs(self) -> Path:
        """The output of each process."""
        return self.root / "logs"

    def private_key(self, name: str) -> Path:
        """The private key of ``endorser``, ``distributor``, ``verifier`` or ``audit``; its public key is beside it."""
        return self.keys / f"{name}.key"

    def public_key(self, name: str) -> Path:
        """The public key that belongs to :meth:`private_key`."""
        return self.keys / f"{name}.pub"
