"""Who extended which PCR, as a verifier's state has it."""

from collections.abc import Mapping

from schemas.hashes import SHA256, HashAlgorithm

Owners = dict[tuple[int, int], tuple[str, ...]]


def owners_in(owners: Mapping[int, tuple[str, ...]], *banks: HashAlgorithm) -> Owners:
    """The same logs in each of the banks, SHA-256 unless told otherwise."""
    return {(bank.tpm_id, index): logs for bank in banks or (SHA256,) for index, logs in owners.items()}
