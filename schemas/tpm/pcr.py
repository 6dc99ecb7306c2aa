"""Platform Configuration Registers: selections, values, extension, and the digest in a quote.

Every :class:`PcrSelection` and :class:`PcrValues` is valid: known banks, indices 0 to 23, digests of the bank's length.
Values are only claims until a signed quote's PCR digest equals their :func:`composite_digest`. Sources: TCG TPM 2.0
Library Part 1 (PCR) and Part 2 (structures), TCG PC Client Platform TPM Profile.
"""

import functools
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from typing_extensions import override

from schemas import limits
from schemas.codecs.reader import Reader
from schemas.errors import PeerError
from schemas.hashes import BY_NAME, BY_TPM_ID, HashAlgorithm
from schemas.reasons import Reason
from schemas.tpm.pcr_properties import PCR_TABLE

PCR_SELECT_BYTES: Final = 3  # PC Client Platform TPM Profile: PCR_SELECT_MIN, enough for 24 PCRs
MAX_PCR_SELECT_BYTES: Final = 4  # TPM 2.0 Part 2, TPMS_PCR_SELECT: PCR_SELECT_MAX of the widest TPM we accept

STARTUP_LOCALITIES: Final = (0, 3, 4)  # same profile, "PCR[0] initial value": TPM2_Startup at 0 or 3; 4 = H-CRTM

_COUNT_BYTES = 4  # TPM 2.0 Part 2, TPML_PCR_SELECTION.count
_BANK_HEADER_BYTES = 3  # TPM 2.0 Part 2, TPMS_PCR_SELECTION: hash, sizeofSelect
_NONE = "none"
_RANGE = re.compile(r"([0-9]{1,2})(?:-([0-9]{1,2}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class PcrBankSelection:
    """Selected PCRs of one bank (TPMS_PCR_SELECTION).

    Attributes:
        algorithm: the bank.
        indices: 0 to 23, strictly ascending. May be empty: TPMs return that for a bank that is not allocated.
    """

    algorithm: HashAlgorithm
    indices: tuple[int, ...]

    def __post_init__(self) -> None:
        """Checks the indices."""
        for index in self.indices:
            _check_index(index)
        if any(left >= right for left, right in itertools.pairwise(self.indices)):
            raise PeerError(Reason.MALFORMED, f"pcr selection: {self.algorithm.name} indices do not ascend")


@dataclass(frozen=True, slots=True, kw_only=True)
class PcrSelection:
    """Selected PCRs in the order in which a TPM digests them (TPML_PCR_SELECTION).

    Attributes:
        banks: at most ``MAX_PCR_BANKS``, each bank once. Their order is the order of the PCR digest.
    """

    banks: tuple[PcrBankSelection, ...]

    def __post_init__(self) -> None:
        """Checks the banks."""
        if len(self.banks) > limits.MAX_PCR_BANKS:
            message = f"pcr selection: {len(self.banks)} banks, the limit is {limits.MAX_PCR_BANKS}"
            raise PeerError(Reason.MALFORMED, message)
        if len({bank.algorithm for bank in self.banks}) != len(self.banks):
            raise PeerError(Reason.MALFORMED, "pcr selection: the same bank twice")

    def __iter__(self) -> Iterator[tuple[HashAlgorithm, int]]:
        """Every selected PCR, in digest order."""
        return ((bank.algorithm, index) for bank in self.banks for index in bank.indices)

    def __contains__(self, register: tuple[HashAlgorithm, int]) -> bool:
        """Whether ``(bank, index)`` is selected."""
        algorithm, index = register
        return any(bank.algorithm == algorithm and index in bank.indices for bank in self.banks)


def selection_end(raw: bytes, start: int) -> int:
    """Finds the end of a TPML_PCR_SELECTION inside a larger structure. Reads only its lengths.

    Args:
        raw: the larger structure.
        start: offset of the selection.

    Returns:
        The offset of the first byte after the selection, never beyond ``len(raw)``.

    Raises:
        PeerError: ``malformed`` if it is cut short or has too many banks.
    """
    size = len(raw)
    end = start + _COUNT_BYTES
    if end > size:
        raise PeerError(Reason.MALFORMED, f"pcrSelect count: needs {_COUNT_BYTES} bytes at offset {start}")
    count = int.from_bytes(raw[start:end], "big")
    if count > limits.MAX_PCR_BANKS:
        raise PeerError(Reason.MALFORMED, f"pcrSelect: {count} banks, the limit is {limits.MAX_PCR_BANKS}")
    for _ in range(count):
        if end + _BANK_HEADER_BYTES > size:
            raise PeerError(Reason.MALFORMED, f"pcrSelect: bank at offset {end} is cut short")
        end += _BANK_HEADER_BYTES + raw[end + 2]
    if end > size:
        raise PeerError(Reason.MALFORMED, "pcrSelect: last bank is cut short")
    return end


@functools.lru_cache(maxsize=256)  # every push is parsed, and a fleet uses only a few selections
def parse_selection(raw: bytes) -> PcrSelection:
    """Parses exactly one TPML_PCR_SELECTION (TPM 2.0 Part 2).

    Raises:
        PeerError: ``malformed``: cut short, trailing bytes, an unknown or repeated bank, a PCR above 23.
    """
    reader = Reader(raw, "big")
    count = reader.uint(_COUNT_BYTES, "pcrSelect count")
    if count > limits.MAX_PCR_BANKS:
        raise PeerError(Reason.MALFORMED, f"pcrSelect: {count} banks, the limit is {limits.MAX_PCR_BANKS}")
    banks = []
    for _ in range(count):
        tpm_id = reader.uint(2, "pcrSelect hash")
        bits = int.from_bytes(reader.sized(1, MAX_PCR_SELECT_BYTES, "pcrSelect bits"), "little")
        algorithm = BY_TPM_ID.get(tpm_id)
        if algorithm is None:
            raise PeerError(Reason.MALFORMED, f"pcrSelect: unknown bank {tpm_id:#06x}")
        indices = tuple(index for index in range(bits.bit_length()) if bits >> index & 1)
        banks.append(PcrBankSelection(algorithm=algorithm, indices=indices))
    reader.finish("pcrSelect")
    return PcrSelection(banks=tuple(banks))


def encode_selection(selection: PcrSelection) -> bytes:
    """Encodes a TPML_PCR_SELECTION with 3 bytes of bits for each bank, the form of PC Client TPMs."""
    parts = [len(selection.banks).to_bytes(_COUNT_BYTES, "big")]
    for bank in selection.banks:
        bits = sum(1 << index for index in bank.indices)
        parts += [
            bank.algorithm.tpm_id.to_bytes(2, "big"),
            PCR_SELECT_BYTES.to_bytes(1, "big"),
            bits.to_bytes(PCR_SELECT_BYTES, "little"),
        ]
    return b"".join(parts)


def parse_selection_text(text: str) -> PcrSelection:
    """Parses ``sha256:0,1,2-7+sha1:10``: banks in digest order, indices in any order.

    This is the form of tpm2-tools, plus ranges. ``sha1:none`` is an empty bank, ``none`` a selection without banks.

    Raises:
        PeerError: ``malformed``: unknown bank, the same bank or PCR twice, a PCR above 23, any other character.
    """
    if len(text) > limits.MAX_TEXT_BYTES:
        raise PeerError(
            Reason.MALFORMED, f"pcr selection: {len(text)} characters, the limit is {limits.MAX_TEXT_BYTES}"
        )
    if text == _NONE:
        return PcrSelection(banks=())
    return PcrSelection(banks=tuple(map(_parse_bank_text, text.split("+"))))


def selection_text(selection: PcrSelection) -> str:
    """The inverse of :func:`parse_selection_text`. Uses no ranges, so tpm2-tools accepts the text too."""
    banks = (f"{bank.algorithm.name}:{','.join(map(str, bank.indices)) or _NONE}" for bank in selection.banks)
    return "+".join(banks) or _NONE


class PcrValues:
    """Values of PCRs by bank and index. Immutable; equal if all digests are equal.

    Invariants: indices are 0 to 23; digests have the length of the bank's algorithm; no bank is empty. Banks are
    ordered by TPM_ALG_ID and indices ascend, so equal values iterate in the same order.
    """

    __slots__ = ("_banks",)

    def __init__(self, banks: Mapping[HashAlgorithm, Mapping[int, bytes]]) -> None:
        """Copies and checks the values.

        Args:
            banks: bank to index to digest.

        Raises:
            PeerError: ``malformed`` for an index above 23 or a digest of the wrong length.
        """
        for algorithm, registers in banks.items():
            for index, digest in registers.items():
                _check_index(index)
                if len(digest) != algorithm.size:
                    message = f"pcr {algorithm.name}:{index}: {len(digest)} bytes, expected {algorithm.size}"
                    raise PeerError(Reason.MALFORMED, message)
        self._banks: Final = {
            algorithm: dict(sorted(banks[algorithm].items()))
            for algorithm in sorted(banks, key=lambda each: each.tpm_id)
            if banks[algorithm]
        }

    @property
    def algorithms(self) -> tuple[HashAlgorithm, ...]:
        """The banks that hold a value, by TPM_ALG_ID."""
        return tuple(self._banks)

    def bank(self, algorithm: HashAlgorithm) -> Mapping[int, bytes]:
        """One bank as a read-only mapping from index to digest, ascending; empty if the bank has no value."""
        return MappingProxyType(self._banks.get(algorithm, {}))

    def get(self, algorithm: HashAlgorithm, index: int) -> bytes | None:
        """The value of one PCR, or None."""
        registers = self._banks.get(algorithm)
        return None if registers is None else registers.get(index)

    def updated(self, changes: "PcrValues") -> "PcrValues":
        """These values, replaced by those in ``changes`` where it has one."""
        algorithms = {*self.algorithms, *changes.algorithms}
        return PcrValues({algorithm: {**self.bank(algorithm), **changes.bank(algorithm)} for algorithm in algorithms})

    def changes_since(self, older: "PcrValues") -> "PcrValues":
        """The values that ``older`` lacks or has differently: ``older.updated(changes)`` gives these values again."""
        return PcrValues(
            {
                algorithm: {
                    index: digest for index, digest in registers.items() if older.get(algorithm, index) != digest
                }
                for algorithm, registers in self._banks.items()
            }
        )

    def __iter__(self) -> Iterator[tuple[HashAlgorithm, int, bytes]]:
        """Every ``(bank, index, digest)``, ascending."""
        for algorithm, registers in self._banks.items():
            for index, digest in registers.items():
                yield algorithm, index, digest

    def __len__(self) -> int:
        """The number of PCRs that have a value."""
        return sum(map(len, self._banks.values()))

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, PcrValues) and self._banks == other._banks

    @override
    def __hash__(self) -> int:
        return hash(tuple(self))

    @override
    def __repr__(self) -> str:
        return (
            f"PcrValues({', '.join(f'{algorithm.name}:{index}={digest.hex()}' for algorithm, index, digest in self)})"
        )


def composite_digest(selection: PcrSelection, values: PcrValues, algorithm: HashAlgorithm) -> bytes:
    """The PCR digest of a quote: the hash of the concatenated values of the selected PCRs.

    Args:
        selection: the *signed* selection (TPMS_QUOTE_INFO): banks in its order, indices ascending within a bank.
        values: the values of all selected PCRs; others are ignored.
        algorithm: the hash of the attesting key's signing scheme, which may differ from its name algorithm and from
            the bank (TPM 2.0 Part 3, TPM2_Quote; Part 1, "Attesting to PCR").

    Raises:
        PeerError: ``pcr-values-mismatch`` naming the bank and index of a selected PCR that has no value.
    """
    digests = []
    for bank in selection.banks:
        for index in bank.indices:
            digest = values.get(bank.algorithm, index)
            if digest is None:
                raise PeerError(Reason.PCR_VALUES_MISMATCH, f"pcr {bank.algorithm.name}:{index}: quoted, but no value")
            digests.append(digest)
    return algorithm.new(b"".join(digests)).digest()


def extend(algorithm: HashAlgorithm, old: bytes, digest: bytes) -> bytes:
    """The value of a PCR after TPM2_PCR_Extend: ``H(old || digest)`` (TPM 2.0 Part 1, "PCR Extend").

    Both arguments must be ``algorithm.size`` bytes long. Loops over long logs inline this for speed.
    """
    return algorithm.new(old + digest).digest()


def initial_value(algorithm: HashAlgorithm, index: int, startup_locality: int = 0) -> bytes:
    """The value of a PCR after TPM2_Startup(CLEAR) (PC Client Platform TPM Profile, "PCR Attributes", initial values).

    Args:
        algorithm: the bank.
        index: 0 to 23; :mod:`schemas.tpm.pcr_properties` states which PCRs start as all ones.
        startup_locality: the last byte of PCR 0: 3 if TPM2_Startup came from locality 3, 4 after an H-CRTM sequence.
            The boot log states it in its StartupLocality event.

    Raises:
        PeerError: ``malformed`` for another index or locality.
    """
    _check_index(index)
    if startup_locality not in STARTUP_LOCALITIES:
        raise PeerError(Reason.MALFORMED, f"startup locality {startup_locality}: expected one of {STARTUP_LOCALITIES}")
    if PCR_TABLE[index].starts_as_ones:
        return b"\xff" * algorithm.size
    return (startup_locality if index == 0 else 0).to_bytes(algorithm.size, "big")


def _check_index(index: int) -> None:
    if not 0 <= index <= limits.MAX_PCR_INDEX:
        raise PeerError(Reason.MALFORMED, f"pcr {index}: expected 0 to {limits.MAX_PCR_INDEX}")


def _parse_bank_text(part: str) -> PcrBankSelection:
    name, _, listed = part.partition(":")
    algorithm = BY_NAME.get(name)
    if algorithm is None:
        raise PeerError(
            Reason.MALFORMED, f"pcr selection: unknown bank {name[:16]!r}, expected one of {', '.join(BY_NAME)}"
        )
    if listed == _NONE:
        return PcrBankSelection(algorithm=algorithm, indices=())
    indices: list[int] = []
    for item in listed.split(","):
        match = _RANGE.fullmatch(item)
        if match is None:
            raise PeerError(Reason.MALFORMED, f"pcr selection: {item[:16]!r} is neither an index nor a range")
        first = int(match[1])
        last = int(match[2] or first)
        if first > last:
            raise PeerError(Reason.MALFORMED, f"pcr selection: {item!r} runs backwards")
        indices += range(first, last + 1)
    if len(set(indices)) != len(indices):
        raise PeerError(Reason.MALFORMED, f"pcr selection: {name} selects a PCR twice")
    return PcrBankSelection(algorithm=algorithm, indices=tuple(sorted(indices)))
