"""Judges the entries of IMA lists: files without a reference value, boot aggregates, files that must be in the list.

A kernel that was started by kexec continues the list of the kernel before it, and adds a boot aggregate of its own. It
measures every file again. So a file is in the list only if it was measured after the last boot aggregate: what an
earlier kernel measured does not show what this kernel measures.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Final

from schemas.errors import PeerError
from schemas.ima.records import ImaFile, ImaRecords
from schemas.ima.signature import verify_file_signature
from schemas.ima.template import BOOT_AGGREGATE, BUILT_IN_TEMPLATES, TEMPLATE_IMA
from schemas.limits import MAX_UNEXPECTED_LISTED
from schemas.reasons import Reason
from verifier_worker.core.measured_events import MAX_NAME_CHARACTERS
from verifier_worker.core.policy.ima_demands import NO_DEMANDS, ImaDemands, is_excluded
from verifier_worker.core.state import Measured
from verifier_worker.core.trust import References

_MAX_AGGREGATES: Final = 8  # different ones that wait; kernels started by kexec mostly add the same again
_MAX_DIGEST_FIELD: Final = 128  # bytes of a labelled digest: "verity:sha512:", a NUL, and 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ListJudge:
    """Judges entries under one policy and its reference values.

    Attributes:
        references: the acceptable files.
        quoted: PCRs that every quote must cover. Entries of others are unproven and ignored.
        owned: PCRs that the policy gives to the list. Entries of others show no file that must be in the list.
        demands: of the policy.
        doubted: digests of files that were found unexpected earlier in this boot.
    """

    references: References
    quoted: Collection[int]
    owned: Collection[int] = field(default_factory=frozenset)
    demands: ImaDemands = NO_DEMANDS
    doubted: Collection[bytes] = ()

    def with_entries(self, measured: Measured, records: ImaRecords, count: int, *, first: bool) -> Measured:
        """Adds entries to the measurements.

        Args:
            measured: before them.
            records: entries of the list.
            count: how many of them were replayed.
            first: the list begins with them.

        Raises:
            PeerError: ``log-malformed``.
        """
        _refuse_disguised(records, count)
        seen, any_file, demands = set(measured.seen), measured.any_file, self.demands
        columns = zip(records.template_names, records.files(count), strict=False)
        for number, (template, file) in enumerate(columns):
            if file.pcr_index not in self.quoted:
                continue
            if file.digest not in self.references.files:
                measured = self._with_unlisted(measured, file, template, begins=first and number == 0)
            if file.path == BOOT_AGGREGATE:
                seen, any_file = set(), False
            elif file.digest and file.pcr_index in self.owned and file.path[:1] == b"/":
                any_file = True
                if demands.wildcards or file.path in demands.paths:
                    seen |= self._shown(file)
        return replace(measured, seen=tuple(sorted(seen)), any_file=any_file)

    def _shown(self, file: ImaFile) -> frozenset[str]:
        """The patterns of the policy that the file satisfies. An unexpected file does: it has a finding of its own."""
        proven = file.digest in self.references.files or _is_signed(file, self.references)
        if not proven and is_excluded(self.demands.excluded, _text(file)):
            return frozenset()
        return self.demands.matching(file.path)

    def _with_unlisted(self, measured: Measured, file: ImaFile, template: bytes, *, begins: bool) -> Measured:
        """With a file whose digest is no reference value. ``begins``: it is the first entry of the list."""
        if file.digest is None:
            return replace(measured, violations=measured.violations + 1)
        if not file.digest:
            raise PeerError(Reason.LOG_MALFORMED, "IMA list: an entry of an unknown template")
        if template not in BUILT_IN_TEMPLATES:
            # Under other fields the same bytes can lose their path or signature, so only listed files are taken.
            raise PeerError(
                Reason.LOG_MALFORMED, "IMA list: an unlisted file in a custom template, whose name no PCR binds"
            )
        if file.path == BOOT_AGGREGATE:
            aggregate = (file.label, file.digest)
            if begins:
                measured = replace(measured, first_aggregate=aggregate)
            if aggregate in measured.aggregates:
                return measured
            if len(measured.aggregates) < _MAX_AGGREGATES:
                return replace(measured, aggregates=(*measured.aggregates, aggregate))
        if _is_signed(file, self.references):
            return replace(measured, accepted=self._accepted(measured, file.digest))
        if is_excluded(self.demands.excluded, _text(file)):
            return replace(measured, excluded=measured.excluded + 1)
        return add_unexpected(measured, file.digest, _text(file))

    def _accepted(self, measured: Measured, digest: bytes) -> tuple[bytes, ...]:
        return tuple({*measured.accepted, digest}) if digest in self.doubted else measured.accepted


def _text(file: ImaFile) -> str:
    return file.path.decode("utf-8", "backslashreplace")


def _refuse_disguised(records: ImaRecords, count: int) -> None:
    """Refuses an entry that claims template ``ima`` but has the data of another template.

    No PCR binds a template's name, and the 276 bytes that ``ima`` hashes can be the data of an ``ima-ng`` entry with a
    path of 227 characters. Anyone who carries an entry could make an unknown file of it.

    Raises:
        PeerError: ``log-malformed``.
    """
    for name, data in zip(records.template_names[:count], records.hashed, strict=False):
        if name == TEMPLATE_IMA and int.from_bytes(data[:4], "little") < _MAX_DIGEST_FIELD and b":\0" in data[4:24]:
            raise PeerError(Reason.LOG_MALFORMED, "IMA list: an entry of another template, called ima")


def _is_signed(file: ImaFile, references: References) -> bool:
    """By a key that the reference values name; a file that is not is a file like any other."""
    if not file.signature or not file.digest or not references.keys:
        return False
    try:
        verify_file_signature(file.signature, file.label, file.digest, references.keys)
    except PeerError:
        return False
    return True


def add_unexpected(measured: Measured, digest: bytes, text: str) -> Measured:
    """Adds one measured thing that no reference value covers; the first ones are named, all are counted."""
    unexpected = measured.unexpected
    if len(unexpected) < MAX_UNEXPECTED_LISTED:
        unexpected = (*unexpected, (digest, text[:MAX_NAME_CHARACTERS]))
    return replace(measured, unexpected=unexpected, unexpected_total=measured.unexpected_total + 1)
