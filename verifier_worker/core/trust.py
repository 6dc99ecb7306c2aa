"""What a worker trusts at one moment, as values: the trust store keeps it up to date, ``step`` only reads it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from schemas.hashes import HashAlgorithm
from schemas.identifiers import HandleId, Ueid
from schemas.ima.signature import FileKey
from schemas.messages.endorsement import Endorsement
from schemas.messages.handle import Handle, StampVerifier
from schemas.messages.reference_values import ReferenceValues, Registers
from schemas.tpm.signature import PublicKey
from verifier_worker.core.policy.policy_file import AppraisalPolicy

_MOST_ENDED: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class EndorsedKey:
    """An endorsement with what every push needs of it, computed once."""

    endorsement: Endorsement
    name: bytes
    public_key: PublicKey


def endorsed_key(endorsement: Endorsement) -> EndorsedKey:
    """Computes the TPM name and the public key of an endorsement's attesting key."""
    public = endorsement.attesting_key
    return EndorsedKey(endorsement=endorsement, name=public.name, public_key=public.public_key())


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """The reference values a policy names, merged.

    Attributes:
        label: names and versions; results of different labels are not comparable.
        missing: names of sets that are not there or not valid now.
        registers: acceptable values by bank and PCR.
        files: acceptable file digests.
        keys: files that one of them has signed are acceptable, too.
        narrower: labels of earlier values whose every file and key is acceptable still: what was found good under one
            of them is good now.
        ended: other earlier labels, and when files or keys of theirs were taken away, UTC microseconds.
    """

    label: str
    missing: tuple[str, ...]
    registers: Mapping[HashAlgorithm, Mapping[int, frozenset[bytes]]]
    files: frozenset[bytes]
    keys: tuple[FileKey, ...] = ()
    narrower: frozenset[str] = frozenset()
    ended: Mapping[str, int] = field(default_factory=dict)


def succeed(before: References, after: References, now_us: int) -> References:
    """``after`` with what a state that was appraised under earlier values needs to know.

    Args:
        before: the values in force until now.
        after: the values in force from now on.
        now_us: UTC microseconds.
    """
    if before.label == after.label:
        return replace(after, narrower=before.narrower, ended=before.ended)
    labels = before.narrower | {before.label}
    if before.files <= after.files and {key.pem() for key in before.keys} <= {key.pem() for key in after.keys}:
        return replace(after, narrower=labels, ended=before.ended)
    ended = {**before.ended, **dict.fromkeys(labels - before.ended.keys(), now_us)}
    return replace(after, ended=dict(sorted(ended.items(), key=lambda item: item[1])[-_MOST_ENDED:]))


def merge_references(names: tuple[str, ...], sets: Mapping[str, ReferenceValues], now_s: int) -> References:
    """Merges the named sets that are valid at ``now_s``; a PCR value acceptable in one of them is acceptable.

    While outgoing values count, the label of their set ends in ``+``: without them it is another one.
    """
    registers: dict[HashAlgorithm, dict[int, frozenset[bytes]]] = {}
    files: set[bytes] = set()
    keys: dict[str, FileKey] = {}
    labels, missing = [], []
    for name in names:
        values = sets.get(name)
        if values is None or not values.not_before_s <= now_s <= values.not_after_s:
            missing.append(name)
            continue
        outgoing = values.outgoing if values.outgoing is not None and now_s <= values.outgoing.until_s else None
        labels.append(f"{name}/{values.version}{'' if outgoing is None else '+'}")
        files.update(values.files)
        keys.update((key.pem(), key) for key in values.keys)
        _add_registers(registers, values.registers)
        if outgoing is not None:
            files.update(outgoing.files)
            _add_registers(registers, outgoing.registers)
    return References(
        label=" ".join(labels),
        missing=tuple(missing),
        registers=registers,
        files=frozenset(files),
        keys=tuple(keys.values()),
    )


def _add_registers(merged: dict[HashAlgorithm, dict[int, frozenset[bytes]]], more: Registers) -> None:
    for bank, acceptable in more.items():
        indices = merged.setdefault(bank, {})
        for index, digests in acceptable.items():
            indices[index] = indices.get(index, frozenset()) | digests


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Everything ``step`` believes besides signatures. The mappings are owned by the trust store.

    Attributes:
        endorsed: by UEID; versions and rollback are settled before they get here, validity in time is not.
        handles: verified handles by id, as far back as evidence may refer to them.
        policy: the appraisal policy for the attester's group; None when there is none, or more than one.
        references: the reference values that the policy names.
        group: that the policy was chosen for.
        conflict: the policies that claim this group alike, if they are several.
        newest: id of the handle with the latest time; receipts are later than it.
        stamps: verifies tokens over sync proofs; None to take none.
    """

    endorsed: Mapping[Ueid, EndorsedKey]
    handles: Mapping[HandleId, Handle]
    policy: AppraisalPolicy | None
    references: References
    group: str = ""
    conflict: str = ""
    newest: HandleId | None = None
    stamps: StampVerifier | None = None


def label_of(trust: Trust) -> str:
    """Names what log entries were judged with: under another label what they showed says nothing now."""
    return f"{trust.policy.measures if trust.policy is not None else ''} {trust.references.label}".strip()
