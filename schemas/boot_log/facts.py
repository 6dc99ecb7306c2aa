"""What a machine's boot was, as far as PCRs vouch for it: Secure Boot, firmware version, first boot images.

The log comes from the machine's own operating system, which can relabel events, replace data that no digest covers,
and extend PCRs after the boot. So nothing here believes an event's type or data alone:

* The end of the firmware's phase in a PCR is the first digest that is that of a separator, whatever the log calls it.
* Secure Boot is said only if *every* event of PCR 7 up to its separator has the data that its digests are of. So no
  event can be hidden, and what is extended later does not count. One event that fails this makes it unknown.
* The boot images are the digests of PCR 4 in their order, except those of separators and of actions (short texts that
  hash to their digest). The first is what the firmware started; nothing that ran later can put itself before it.
* A firmware version counts only before the separator of PCR 0. Its *type* is the log's word: another text that the
  firmware measured into PCR 0 could be passed off as the version, a text that it did not measure could not.

Invariants: :class:`BootFacts` never changes and is bounded; taking events in any increments gives the same facts.
Does not: replay. Facts are true where the replay of the same events reproduced a quote over the same banks and PCRs.

Source: PFP 1.06, 3.3.4 "PCR Usage", 10.4.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from schemas.boot_log.binding import AuthenticatedData, bind
from schemas.boot_log.event_data import decode_event_data
from schemas.boot_log.event_types import EventType
from schemas.boot_log.event_values import Text
from schemas.boot_log.quirks import ERROR_SEPARATOR
from schemas.boot_log.records import BootEvent
from schemas.boot_log.uefi_text import guess_text, shown
from schemas.boot_log.uefi_variable import GLOBAL_VARIABLE, parse_variable
from schemas.errors import PeerError
from schemas.hashes import HASH_ALGORITHMS, HashAlgorithm

MAX_IMAGES: Final = 4  # kept; more are counted
MAX_VERSION_CHARACTERS: Final = 128
MAX_ACTION_BYTES: Final = 256

VERSION_PCR: Final = 0
IMAGES_PCR: Final = 4
SECURE_BOOT_PCR: Final = 7

_SEPARATORS: Final = (bytes(4), b"\xff" * 4, ERROR_SEPARATOR)  # PFP 1.06, 10.4.1
_SEPARATOR_DIGESTS: Final = {bank: frozenset(map(bank.digest, _SEPARATORS)) for bank in HASH_ALGORITHMS}
# What makers of firmware write into the subject of platform keys that must not be shipped, and were (PKfail, 2024).
TEST_KEY_MARKS: Final = (b"DO NOT TRUST", b"DO NOT SHIP", b"Test PK")
_KEY_VARIABLES: Final = frozenset({"PK", "KEK", "db"})
_PCRS: Final = frozenset({VERSION_PCR, IMAGES_PCR, SECURE_BOOT_PCR})


class SecureBoot(StrEnum):
    """What PCR 7 says."""

    UNKNOWN = "unknown"
    ENABLED = "enabled"
    DISABLED = "disabled"


# UEFI 2.10, 3.3. Firmware that has no such variable logs it without a value: tpm2-tools/event-arch-linux.
_SECURE_BOOT_VALUES: Final = {b"\1": SecureBoot.ENABLED, b"\0": SecureBoot.DISABLED, b"": SecureBoot.DISABLED}


@dataclass(frozen=True, slots=True, kw_only=True)
class BootFacts:
    """What the events so far add up to.

    Attributes:
        version: measured by the firmware into PCR 0; None for none, or for more than one.
        versions: how many there were.
        version_ended: the separator of PCR 0 was seen.
        images: digests extended into PCR 4, in the strongest of the banks, the first ``MAX_IMAGES``.
        images_total: all of them.
        images_unknown: the banks of PCR 4 do not tell one story.
        secure_boot_value: what the SecureBoot variable said; not yet a fact.
        secure_boot_broken: PCR 7 has events before its separator that cannot be read.
        secure_boot_ended: the separator of PCR 7 was seen.
        test_keys: a key of the Secure Boot databases calls itself one for tests.
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

    @property
    def secure_boot(self) -> SecureBoot:
        """Whether Secure Boot was enforced; unknown until the separator, and where PCR 7 cannot be read."""
        broken = self.secure_boot_broken or not self.secure_boot_ended
        return SecureBoot.UNKNOWN if broken else self.secure_boot_value

    def after(self, events: Iterable[BootEvent], banks: Collection[HashAlgorithm]) -> "BootFacts":
        """The facts with more events.

        Args:
            events: the next of the log, in order.
            banks: those replayed and quoted; each must agree.
        """
        facts = self
        for event in events:
            if event.pcr_index in _PCRS and event.extended and banks:
                facts = facts._with(event, banks)
        return facts

    def _with(self, event: BootEvent, banks: Collection[HashAlgorithm]) -> "BootFacts":
        digests = dict(event.digests)
        if not any(bank.tpm_id in digests for bank in banks):  # extended nothing that anyone looks at
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
            case _:
                return self._with_secure_boot(event, banks, separator=separator)

    def _with_version(self, event: BootEvent, banks: Collection[HashAlgorithm]) -> "BootFacts":
        if self.version_ended or event.event_type != EventType.EV_S_CRTM_VERSION:
            return self
        version = None
        bound = bind(event, banks)
        if isinstance(bound, AuthenticatedData) and bound.whole:
            decoded = decode_event_data(event.event_type, event.data)
            if isinstance(decoded, Text):
                version = shown(decoded.value)[:MAX_VERSION_CHARACTERS]
        return replace(self, version=version if not self.versions else None, versions=min(self.versions + 1, 2))

    def _with_image(self, event: BootEvent, digests: dict[int, bytes], banks: Collection[HashAlgorithm]) -> "BootFacts":
        if len(event.data) <= MAX_ACTION_BYTES and guess_text(event.data):
            bound = bind(event, banks)
            if isinstance(bound, AuthenticatedData) and bound.whole:
                return self
        images = self.images
        if len(images) < MAX_IMAGES:
            strongest = max(banks, key=lambda bank: bank.size)
            images = (*images, digests.get(strongest.tpm_id, b""))
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
        except PeerError:  # an action, such as "UEFI Debug Mode": authentic, and no variable
            return self
        if variable.name in _KEY_VARIABLES and any(mark in variable.content for mark in TEST_KEY_MARKS):
            return replace(self, test_keys=True)
        if (variable.vendor, variable.name) != (GLOBAL_VARIABLE, "SecureBoot"):
            return self
        value = _SECURE_BOOT_VALUES.get(variable.content)
        if value is None or self.secure_boot_value is not SecureBoot.UNKNOWN:
            return replace(self, secure_boot_broken=True)  # makes no sense, or was said before
        return replace(self, secure_boot_value=value)


def secure_boot_state(events: Iterable[BootEvent], banks: Collection[HashAlgorithm]) -> SecureBoot:
    """Whether a boot enforced Secure Boot, by the PCR 7 events that the digests authenticate.

    Args:
        events: of the whole log from index 0, or all those of PCR 7.
        banks: those in which PCR 7 was quoted.
    """
    return BootFacts().after(events, banks).secure_boot


def _is_separator(digests: dict[int, bytes], banks: Collection[HashAlgorithm]) -> bool:
    """Whether the digests in ``banks`` are those of a separator: in any bank, so that none can be hidden."""
    return any(digests.get(bank.tpm_id) in _SEPARATOR_DIGESTS[bank] for bank in banks)


def _is_error(digests: dict[int, bytes], banks: Collection[HashAlgorithm]) -> bool:
    """Whether they are those of the separator of an error, in any bank."""
    return any(digests.get(bank.tpm_id) == bank.digest(ERROR_SEPARATOR) for bank in banks)
