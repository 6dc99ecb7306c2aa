"""Derives facts about a boot that PCRs prove: Secure Boot, firmware version, first boot images.

The log comes from the machine's own operating system, which can relabel events, replace data that no digest covers,
and extend PCRs after the boot. So no fact rests on an event's type or data alone:

* The firmware's phase in a PCR ends at the first digest that is a separator's, whatever type the log states.
* Secure Boot is known only if, for *every* event of PCR 7 up to its separator, the digests cover all data. So no event
  can be hidden, and later extensions have no effect. One event that fails this makes it unknown.
* The boot images are the digests of PCR 4 in order, without separators and actions (short texts that hash to their
  digest). The firmware started the first image; nothing that ran later can insert itself before it.
* The command line is the first digest of PCR 9 (``command_line``). Nothing can insert itself before it.
* A firmware version must come before the separator of PCR 0. Its *type* is unverified: another text that the firmware
  measured into PCR 0 could be presented as the version, a text that it did not measure could not.

Invariants: :class:`BootFacts` never changes and is bounded. Taking the events in any pieces gives the same facts. The
facts are proven only once a replay of the same events has reproduced a quote over the same banks and PCRs.

Source: PFP 1.06, 3.3.4 "PCR Usage", 10.4.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from schemas.boot_log.binding import AuthenticatedData, bind
from schemas.boot_log.command_line import COMMAND_LINE_PCR
from schemas.boot_log.event_data import decode_event_data
from schemas.boot_log.event_types import EventType
from schemas.boot_log.event_values import Text
from schemas.boot_log.quirks import ERROR_SEPARATOR
from schemas.boot_log.records import BootEvent
from schemas.boot_log.uefi_text import guess_text
from schemas.boot_log.uefi_variable import GLOBAL_VARIABLE, parse_variable
from schemas.codecs.printable import printable
from schemas.errors import PeerError
from schemas.hashes import HASH_ALGORITHMS, HashAlgorithm

MAX_IMAGES: Final = 4  # more are only counted
MAX_VERSION_CHARACTERS: Final = 128
MAX_ACTION_BYTES: Final = 256

VERSION_PCR: Final = 0
IMAGES_PCR: Final = 4
SECURE_BOOT_PCR: Final = 7

_SEPARATORS: Final = (bytes(4), b"\xff" * 4, ERROR_SEPARATOR)  # PFP 1.06, 10.4.1
_SEPARATOR_DIGESTS: Final = {bank: frozenset(map(bank.digest, _SEPARATORS)) for bank in HASH_ALGORITHMS}
# Subjects of test keys. Firmware makers must not ship platform keys with these, and did (PKfail, 2024).
TEST_KEY_MARKS: Final = (b"DO NOT TRUST", b"DO NOT SHIP", b"Test PK")
_KEY_VARIABLES: Final = frozenset({"PK", "KEK", "db"})
_PCRS: Final = frozenset({VERSION_PCR, IMAGES_PCR, SECURE_BOOT_PCR, COMMAND_LINE_PCR})


class SecureBoot(StrEnum):
    """The state of Secure Boot that PCR 7 proves."""

    UNKNOWN = "unknown"
    ENABLED = "enabled"
    DISABLED = "disabled"


# UEFI 2.10, 3.3. Firmware without this variable logs it without a value: tpm2-tools/event-arch-linux.
_SECURE_BOOT_VALUES: Final = {b"\1": SecureBoot.ENABLED, b"\0": SecureBoot.DISABLED, b"": SecureBoot.DISABLED}


@dataclass(frozen=True, slots=True, kw_only=True)
class BootFacts:
    """The facts that follow from the events so far.

    Attributes:
        version: the version that the firmware measured into PCR 0; None if there is not exactly one.
        versions: the number of versions: 0, 1, or 2 for more.
        version_ended: whether the separator of PCR 0 was seen.
        images: the first ``MAX_IMAGES`` image digests of PCR 4, in the strongest bank.
        images_total: the number of all images.
        images_unknown: whether the banks of PCR 4 contradict each other.
        secure_boot_value: the value of the SecureBoot variable; not yet a fact.
        secure_boot_broken: whether the events of PCR 7 up to its separator prove no state.
        secure_boot_ended: whether the separator of PCR 7 was seen.
        test_keys: whether a key in the Secure Boot databases is marked as a test key.
        load_options: the first digest of PCR 9, in the strongest bank; empty if that event did not extend this bank,
            None before the first event.
    """

    version: str | None = None
    versions: int = 0
    version_ended: bool = False
    images: tuple[bytes, ...] = ()
    images_total: int = 0
    images_unknown: bool = False
    secure_boot_value: SecureBoot = SecureBoot.UNKNOWN
    secure_boot_broken: bool = False
    secure_boot_ended: bool = False
    test_keys: bool = False
    load_options: bytes | None = None

    @property
    def secure_boot(self) -> SecureBoot:
        """Whether Secure Boot was enforced. Unknown before the separator, and if an event of PCR 7 is not proven."""
        broken = self.secure_boot_broken or not self.secure_boot_ended
        return SecureBoot.UNKNOWN if broken else self.secure_boot_value

    def after(self, events: Iterable[BootEvent], banks: Collection[HashAlgorithm]) -> "BootFacts":
        """The facts after more events.

        Args:
            events: the next events of the log, in order.
            banks: the banks that are replayed and quoted; all must agree.
        """
        facts = self
        for event in events:
            if event.pcr_index in _PCRS and event.extended:
                facts = facts._with(event, banks)
        return facts

    def _with(self, event: BootEvent, banks: Collection[HashAlgorithm]) -> "BootFacts":
        digests = dict(event.digests)
        if not any(bank.tpm_id in digests for bank in banks):  # the event extended none of these banks
            return self
        separator = _is_separator(digests, banks)
        match event.pcr_index:
            case 0:
                return replace(self, version_ended=True) if separator else self._with_version(event, banks)
            case 4:
                if not all(bank.tpm_id in digests for bank in banks):
                    return replace(self, images_unknown=True)
                separators = all(_is_separator(digests, (bank,)) for bank in banks)
                return self if separators else self._with_image(event, digests, banks)
            case 7:
                return self._with_secure_boot(event, banks, separator=separator)
            case _:
                return self if self.load_options is not None else replace(self, load_options=_strongest(digests, banks))

    def _with_version(self, event: BootEvent, banks: Collection[HashAlgorithm]) -> "BootFacts":
        if self.version_ended or event.event_type != EventType.EV_S_CRTM_VERSION:
            return self
        version = None
        bound = bind(event, banks)
        if isinstance(bound, AuthenticatedData) and bound.whole:
            decoded = decode_event_data(event.event_type, event.data)
            if isinstance(decoded, Text):
                version = printable(decoded.value)[:MAX_VERSION_CHARACTERS]
        return replace(self, version=version if not self.versions else None, versions=min(self.versions + 1, 2))

    def _with_image(self, event: BootEvent, digests: dict[int, bytes], banks: Collection[HashAlgorithm]) -> "BootFacts":
        if len(event.data) <= MAX_ACTION_BYTES and guess_text(event.data):
            bound = bind(event, banks)
            if isinstance(bound, AuthenticatedData) and bound.whole:
                return self
        images = self.images
        if len(images) < MAX_IMAGES:
            images = (*images, _strongest(digests, banks))
        return replace(self, images=images, images_total=self.images_total + 1)

    def _with_secure_boot(self, event: BootEvent, banks: Collection[HashAlgorithm], *, separator: bool) -> "BootFacts":
        if self.secure_boot_ended:
            return self
        if separator:
            failed = _is_error(dict(event.digests), banks)
            return replace(self, secure_boot_ended=True, secure_boot_broken=self.secure_boot_broken or failed)
        bound = bind(event, banks)
        if not (isinstance(bound, AuthenticatedData) and bound.whole):
            return replace(self, secure_boot_broken=True)
        try:
            variable = parse_variable(event.data)
        except PeerError:  # an action, such as "UEFI Debug Mode": authentic, but not a variable
            return self
        if variable.name in _KEY_VARIABLES and any(mark in variable.content for mark in TEST_KEY_MARKS):
            return replace(self, test_keys=True)
        if (variable.vendor, variable.name) != (GLOBAL_VARIABLE, "SecureBoot"):
            return self
        value = _SECURE_BOOT_VALUES.get(variable.content)
        if value is None or self.secure_boot_value is not SecureBoot.UNKNOWN:
            return replace(self, secure_boot_broken=True)  # an impossible or a second value
        return replace(self, secure_boot_value=value)


def secure_boot_state(events: Iterable[BootEvent], banks: Collection[HashAlgorithm]) -> SecureBoot:
    """Whether a boot enforced Secure Boot, according to the events of PCR 7 that their digests prove.

    Args:
        events: the whole log from index 0, or all its events of PCR 7.
        banks: the banks in which PCR 7 was quoted.
    """
    return BootFacts().after(events, banks).secure_boot


def _strongest(digests: dict[int, bytes], banks: Collection[HashAlgorithm]) -> bytes:
    """The digest in the strongest bank; empty if there is none."""
    return digests.get(max(banks, key=lambda bank: bank.size).tpm_id, b"")


def _is_separator(digests: dict[int, bytes], banks: Collection[HashAlgorithm]) -> bool:
    """Whether a digest in any of ``banks`` is a separator's. One bank is enough, so no separator can be hidden."""
    return any(digests.get(bank.tpm_id) in _SEPARATOR_DIGESTS[bank] for bank in banks)


def _is_error(digests: dict[int, bytes], banks: Collection[HashAlgorithm]) -> bool:
    """Whether a digest in any of ``banks`` is the error separator's."""
    return any(digests.get(bank.tpm_id) == bank.digest(ERROR_SEPARATOR) for bank in banks)
