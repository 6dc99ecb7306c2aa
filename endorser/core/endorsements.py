"""Makes and verifies signed objects; parses the keys, UEIDs and digests that operators keep in files."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

from schemas.errors import ConfigError, PeerError, as_config_error
from schemas.hashes import HashAlgorithm
from schemas.identifiers import MAX_UEID_BYTES, Ueid, parse_ueid, parse_ueid_text, ueid_text
from schemas.ima.signature import FileKey, make_file_key, parse_file_key
from schemas.instants import SECOND_US, iso_text
from schemas.limits import MAX_FILE_KEYS
from schemas.messages import corim
from schemas.messages.endorsement import MAX_GROUP_BYTES, Endorsement, sign_endorsement, verify_endorsement
from schemas.messages.policy import MAX_POLICY_CHARACTERS, SignedPolicy, is_policy, sign_policy, verify_policy
from schemas.messages.reference_values import Outgoing, ReferenceValues, sign_reference_values, verify_reference_values
from schemas.messages.trust_statement import TrustStatement, Withdrawn, is_statement, verify_statement
from schemas.topics import check_name
from schemas.tpm.public import TpmPublic, check_attestation_key, parse_public, parse_sized_public

# The validity starts a little before the signature. Otherwise a verifier whose clock is a little behind would refuse
# the object as not yet valid, and would not receive the retained message again before it reconnects.
BACKDATED_S: Final = 300
DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """The part that all signed objects have: signer, version and validity.

    Attributes:
        signer: the endorser's name.
        version: must grow with each version of one object.
        now_s: UTC seconds; start of validity, less :data:`BACKDATED_S`.
        days: end of validity, counted from ``now_s``.
    """

    signer: str
    version: int
    now_s: int
    days: int

    @property
    def not_before_s(self) -> int:
        """Start of validity, UTC seconds."""
        return self.now_s - BACKDATED_S

    @property
    def not_after_s(self) -> int:
        """End of validity, UTC seconds."""
        return self.now_s + self.days * DAY_S


def endorse(
    statement: Statement, ueid: Ueid, raw_public: bytes, key: EllipticCurvePrivateKey, group: str | None = None
) -> bytes:
    """Signs an endorsement of one attesting key for an operator. It does not state that the TPM is genuine.

    Args:
        statement: signer, version and validity.
        ueid: the attester.
        raw_public: the attesting key as TPMT_PUBLIC or TPM2B_PUBLIC.
        key: the endorser's key.
        group: name for attesters that belong together; None for no group.

    Raises:
        ConfigError: the key cannot attest, or the group's name is empty or too long.
    """
    with as_config_error("attesting key"):
        public = parse_any_public(raw_public)
        check_attestation_key(public)
    if group is not None and not 0 < len(group.encode()) <= MAX_GROUP_BYTES:
        raise ConfigError(f"group: expected 1 to {MAX_GROUP_BYTES} bytes of text")
    endorsement = Endorsement(
        ueid=ueid,
        attesting_key=public,
        version=statement.version,
        signer=statement.signer,
        not_before_s=statement.not_before_s,
        not_after_s=statement.not_after_s,
        group=group,
    )
    return sign_endorsement(endorsement, public.raw, key)


def refer(
    statement: Statement,
    name: str,
    registers: Mapping[HashAlgorithm, Mapping[int, frozenset[bytes]]],
    files: Mapping[bytes, str],
    key: EllipticCurvePrivateKey,
    file_keys: tuple[FileKey, ...] = (),
    outgoing: Outgoing | None = None,
) -> bytes:
    """Signs a set of reference values.

    Args:
        statement: signer, version and validity.
        name: the set's name, which policies refer to.
        registers: acceptable PCR values by bank and index.
        files: acceptable file digests, with a path each for people.
        key: the endorser's key.
        file_keys: files signed with one of them are acceptable, too.
        outgoing: values of the previous version that stay acceptable for a while.

    Raises:
        ConfigError: the set is empty, or has too many keys.
    """
    if not registers and not files and not file_keys:
        raise ConfigError("reference values: neither PCRs nor files nor keys; an empty set accepts nothing")
    if len(file_keys) > MAX_FILE_KEYS:
        raise ConfigError(f"reference values: {len(file_keys)} keys that sign files, the limit is {MAX_FILE_KEYS}")
    values = ReferenceValues(
        name=name,
        version=statement.version,
        signer=statement.signer,
        not_before_s=statement.not_before_s,
        not_after_s=statement.not_after_s,
        registers=registers,
        files=files,
        keys=file_keys,
        outgoing=outgoing,
    )
    return sign_reference_values(values, key)


def sign_policy_text(statement: Statement, text: str, key: EllipticCurvePrivateKey) -> bytes:
    """Signs an appraisal policy.

    Args:
        statement: signer, version and validity.
        text: TOML with an ``id``. The rest is not checked here; ``verifier-worker check-policy`` checks it.
        key: the endorser's key.

    Raises:
        ConfigError: it is not TOML, has no name, or is too long.
    """
    try:
        name = tomllib.loads(text).get("id")
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"not TOML ({error})") from error
    if not isinstance(name, str):
        raise ConfigError("id: missing, expected the policy's name")
    if len(text) > MAX_POLICY_CHARACTERS:
        raise ConfigError(f"{len(text)} characters, the limit is {MAX_POLICY_CHARACTERS}")
    with as_config_error("id"):
        check_name(name)
    policy = SignedPolicy(
        id=name,
        version=statement.version,
        signer=statement.signer,
        not_before_s=statement.not_before_s,
        not_after_s=statement.not_after_s,
        text=text,
    )
    return sign_policy(policy, key)


def verify_any(
    raw: bytes, keys: Mapping[bytes, EllipticCurvePublicKey]
) -> Endorsement | ReferenceValues | SignedPolicy | TrustStatement:
    """Verifies a signed object of any kind, as a verifier would.

    Raises:
        PeerError: ``too-large``, ``malformed``, ``object-signature-invalid``, ``attesting-key-mismatch``.
    """
    if is_statement(raw):
        return verify_statement(raw, keys)
    if is_policy(raw):
        return verify_policy(raw, keys)
    if corim.TRIPLES_ATTEST_KEY in corim.verify_manifest(raw, keys).triples:
        return verify_endorsement(raw, keys)
    return verify_reference_values(raw, keys)


def parse_any_ueid(content: bytes) -> Ueid:
    """A UEID from a file: its text with or without a line end, or its bytes.

    Raises:
        ConfigError: it is neither.
    """
    try:
        text = content.decode("ascii").strip()
        return parse_ueid_text(text)
    except (UnicodeDecodeError, PeerError):
        if len(content) > MAX_UEID_BYTES:
            raise ConfigError("ueid: neither base64url text nor 7 to 33 bytes") from None
    try:
        return parse_ueid(content)
    except PeerError as error:
        raise ConfigError(error.detail) from error


def parse_any_public(raw: bytes) -> TpmPublic:
    """A key's public area from a TPMT_PUBLIC, or from a TPM2B_PUBLIC as tpm2-tools write it.

    Raises:
        PeerError: ``malformed`` or ``too-large``.
    """
    sized = len(raw) > 2 and int.from_bytes(raw[:2], "big") == len(raw) - 2  # noqa: PLR2004 the size of a TPM2B
    return parse_sized_public(raw) if sized else parse_public(raw)


def parse_any_file_key(name: str, raw: bytes) -> FileKey:
    """A key for file signatures, from a public key or an X.509 certificate, PEM or DER.

    Args:
        name: of the file, for errors.
        raw: its content.

    Raises:
        ConfigError: it is neither, or a kind of key that verifiers do not accept.
    """
    for load in (x509.load_pem_x509_certificate, x509.load_der_x509_certificate):
        try:
            public = load(raw).public_key()
        except (ValueError, UnsupportedAlgorithm):
            continue
        with as_config_error(name):
            return make_file_key(public)
    with as_config_error(name):
        return parse_file_key(raw)


def describe(verified: Endorsement | ReferenceValues | SignedPolicy | TrustStatement, dates: Iterable[str]) -> str:
    """Describes a verified object for people.

    Args:
        verified: the object.
        dates: start and end of its validity, as text.
    """
    start, end = dates
    lines = []
    if isinstance(verified, Endorsement):
        key = verified.attesting_key
        lines += [f"endorsement of {verified.ueid.hex()}", f"  attesting key  {key.name.hex()} (TPM name)"]
        lines += [f"  genuine TPM    by {verified.genuine}"] if verified.genuine is not None else []
        lines += [f"  group          {verified.group}"] if verified.group is not None else []
    elif isinstance(verified, TrustStatement):
        return _describe_statement(verified, start, end)
    elif isinstance(verified, SignedPolicy):
        lines.append(f"appraisal policy {verified.id}")
        lines += [f"  | {line}" for line in verified.text.splitlines()]
    else:
        lines.append(f"reference values {verified.name}")
        for bank, registers in verified.registers.items():
            for index, digests in sorted(registers.items()):
                lines += [f"  {bank.name}:{index:<3} {digest.hex()}" for digest in sorted(digests)]
        lines.append(f"  files          {len(verified.files)}")
        lines += [f"  signs files    {key.id.hex()} (key id)" for key in verified.keys]
        if verified.outgoing is not None:
            lines.append(f"  outgoing       {len(verified.outgoing.files)} files; see endorser corim show")
    lines += [
        f"  version        {verified.version}",
        f"  signer         {verified.signer}",
        f"  valid          {start} to {end}",
    ]
    return "\n".join(lines)


def _describe_statement(statement: TrustStatement, start: str, end: str) -> str:
    groups: dict[str, list[str]] = {}
    for group, policy in sorted(statement.groups.items()):
        groups.setdefault(policy, []).append(group)
    lines = [f"statement of what is current, by {statement.issuer}", f"  number         {statement.number}"]
    for name, listed in sorted(statement.policies.items()):
        lines.append(f"  policy         {name}/{listed.version} for {', '.join(groups.get(name, [])) or 'no group'}")
    for name, listed in sorted(statement.reference_values.items()):
        lines.append(f"  set            {name}/{listed.version}")
    for ueid, each in sorted(statement.withdrawn.items()):
        if each.standing is not Withdrawn.REPLACED:
            at = iso_text(each.at_s * SECOND_US, "seconds")
            lines.append(f"  {each.standing:<14} {ueid_text(ueid)} at {at} by {each.by or 'the endorser'}")
    replaced = sum(each.standing is Withdrawn.REPLACED for each in statement.withdrawn.values())
    lines += [f"  replaced       {replaced} endorsements"] if replaced else []
    return "\n".join([*lines, f"  valid          {start} to {end}"])
