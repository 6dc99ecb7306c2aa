"""The trust in force at one moment, as values: the trust store keeps it up to date, ``step`` only reads it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from schemas.hashes import HashAlgorithm
from schemas.identifiers import HandleId, Ueid
from schemas.ima.signature import FileKey
from schemas.instants import SECOND_US, iso_text
from schemas.messages.endorsement import Endorsement
from schemas.messages.handle import Handle, StampVerifier
from schemas.messages.reference_values import ReferenceValues, Registers
from schemas.messages.trust_statement import Withdrawal, Withdrawn
from schemas.reasons import Reason
from schemas.tpm.signature import PublicKey
from verifier_worker.core.policy.policy_file import AppraisalPolicy
from verifier_worker.core.statements import UNSTATED, Current, Statements

_MOST_ENDED: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class EndorsedKey:
    """An endorsement, with its key's TPM name and public key computed once.

    Attributes:
        endorsement: the endorsement.
        name: TPM name of the attesting key.
        public_key: the attesting key.
        signer: id of the endorser's key that signed the endorsement.
    """

    endorsement: Endorsement
    name: bytes
    public_key: PublicKey
    signer: bytes = b""

    @property
    def group(self) -> str:
        """The attester's group; empty for none."""
        return self.endorsement.group or ""


def endorsed_key(endorsement: Endorsement, signer: bytes = b"") -> EndorsedKey:
    """Computes the TPM name and the public key of an endorsement's attesting key."""
    public = endorsement.attesting_key
    return EndorsedKey(endorsement=endorsement, name=public.name, public_key=public.public_key(), signer=signer)


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """The reference values that a policy names, merged.

    Attributes:
        label: names and versions of the sets, in one text.
        sets: the same, one by one.
        missing: names of sets that do not exist or are not valid now.
        registers: acceptable values by bank and PCR.
        files: acceptable file digests.
        keys: files signed by one of these keys are acceptable, too.
        narrower: labels of earlier values whose files and keys are all still acceptable. A file that was acceptable
            under one of them is acceptable now.
        ended: other earlier labels, and when some of their files or keys were removed, UTC microseconds.
    """

    label: str
    sets: tuple[str, ...] = ()
    missing: tuple[str, ...]
    registers: Mapping[HashAlgorithm, Mapping[int, frozenset[bytes]]]
    files: frozenset[bytes]
    keys: tuple[FileKey, ...] = ()
    narrower: frozenset[str] = frozenset()
    ended: Mapping[str, int] = field(default_factory=dict)


def succeed(before: References, after: References, now_us: int) -> References:
    """``after``, with ``narrower`` and ``ended`` for states that were appraised under earlier values.

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
    """Merges the named sets that are valid at ``now_s``; a PCR value in one of them is acceptable.

    While a set's outgoing values are valid, its label ends in ``+``, so that the label changes when they end.
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
        sets=tuple(labels),
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
    """Everything that ``step`` relies on besides signatures. The trust store owns the mappings.

    Attributes:
        endorsed: by UEID. The trust store has checked versions; ``step`` checks validity in time.
        handles: verified handles by id, as far back as evidence may refer to them.
        policy: the appraisal policy for the attester's group; None if there is none, or a conflict.
        references: the reference values that the policy names.
        group: the group for which the policy was chosen.
        conflict: the policies that equally claim this group, if there are several.
        missing: the policy that the group should have and has not.
        current: until when the trust in endorsement, policy and reference values is current.
        statements: which endorsements were withdrawn; None if nothing is withdrawn.
        newest: id of the handle with the latest time; receipts are later than it.
        stamps: verifies stamps over sync proofs; None to ignore them.
    """

    endorsed: Mapping[Ueid, EndorsedKey]
    handles: Mapping[HandleId, Handle]
    policy: AppraisalPolicy | None
    references: References
    group: str = ""
    conflict: str = ""
    missing: str = ""
    current: Current = UNSTATED
    statements: Statements | None = None
    newest: HandleId | None = None
    stamps: StampVerifier | None = None


REASON_OF: Final = {
    Withdrawn.REVOKED: Reason.ATTESTING_KEY_REVOKED,
    Withdrawn.DECOMMISSIONED: Reason.ATTESTER_DECOMMISSIONED,
    Withdrawn.REPLACED: Reason.ENDORSEMENT_REPLACED,
}


def withdrawal_text(withdrawal: Withdrawal) -> str:
    """Who withdrew an endorsement, and when."""
    at = iso_text(withdrawal.at_s * SECOND_US, "seconds")
    return f"{withdrawal.standing} by {withdrawal.by or 'the endorser'} at {at}"


def withdrawal_of(trust: Trust, ueid: Ueid) -> Withdrawal | None:
    """How the attester's endorsement was withdrawn; None if it was not, or there is none."""
    key = trust.endorsed.get(ueid)
    if key is None or trust.statements is None:
        return None
    return trust.statements.withdrawal(ueid, key.endorsement.version, key.signer, key.group)


def label_of(trust: Trust) -> str:
    """Names the policy and reference values that judge log entries. Findings under another label are void."""
    return f"{trust.policy.measures if trust.policy is not None else ''} {trust.references.label}".strip()
