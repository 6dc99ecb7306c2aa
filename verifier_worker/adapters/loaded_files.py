"""Loads the files named in a worker's settings: keys, roots, policy."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

from runtime import keys
from runtime.settings import build, load, naming
from runtime.time_stamps.verifier import TimeStampVerifier, load_time_stamp_verifier
from schemas.errors import ConfigError
from schemas.messages.key_scope import KeyScope
from schemas.messages.policy import SignedPolicy
from verifier_worker.core.policy.policy_file import AppraisalPolicy, PolicyTable, check_policy, read_policy
from verifier_worker.settings import ScopedKeys, Settings

ROLE: Final = "verifier-worker"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedFiles:
    """The content of the files named in the settings: own key, trusted keys and roots, own policy."""

    key: EllipticCurvePrivateKey
    endorsers: Mapping[bytes, EllipticCurvePublicKey]
    distributors: Mapping[bytes, EllipticCurvePublicKey]
    stamps: TimeStampVerifier
    policy: AppraisalPolicy | None
    policy_text: bytes | None = None
    scopes: Mapping[bytes, KeyScope] = field(default_factory=dict)


def load_files(settings: Settings) -> LoadedFiles:
    """Reads keys, roots and policy.

    Raises:
        ConfigError: names the field and the file.
    """
    trusted = settings.trust
    with naming("signing_key"):
        key = keys.load_signing_key(settings.signing_key, made_by=f"{ROLE} keygen")
    with naming("trust.endorser_keys"):
        endorsers = keys.load_public_keys(trusted.endorser_keys)
    with naming("trust.endorsers"):
        scopes = _load_scopes(trusted.endorsers, endorsers)
    with naming("trust.distributor_keys"):
        distributors = keys.load_public_keys(trusted.distributor_keys)
    with naming("trust.tsa_roots"):
        stamps = load_time_stamp_verifier(trusted.tsa_roots)
    with naming("policy"):
        policy = load_policy(settings.policy) if settings.policy is not None else None
        text = keys.read_file(settings.policy) if settings.policy is not None else None
    if settings.policy is not None and text is not None:
        _check_recordable(settings.policy, text)
    return LoadedFiles(
        key=key,
        endorsers={**endorsers, **{key: public for key, (public, _) in scopes.items()}},
        distributors=distributors,
        stamps=stamps,
        policy=policy,
        policy_text=text,
        scopes={key: scope for key, (_, scope) in scopes.items()},
    )


def _load_scopes(
    tables: tuple[ScopedKeys, ...], unlimited: Mapping[bytes, EllipticCurvePublicKey]
) -> dict[bytes, tuple[EllipticCurvePublicKey, KeyScope]]:
    """Keys with their scopes, by ``cose.key_id``."""
    scopes: dict[bytes, tuple[EllipticCurvePublicKey, KeyScope]] = {}
    for number, table in enumerate(tables):
        for key, public in keys.load_public_keys(table.keys).items():
            if key in scopes or key in unlimited:
                raise ConfigError(f"[{number}]: key {key.hex()} is named twice; give it one scope")
            scopes[key] = public, table.scope
    return scopes


def load_policy(path: Path) -> AppraisalPolicy:
    """Reads and checks a policy file.

    Raises:
        ConfigError: names the file and the field.
    """
    table = load(path, PolicyTable, "policy")
    with naming(path):
        return check_policy(table)


def _check_recordable(path: Path, text: bytes) -> None:
    if build(text.decode("utf-8"), PolicyTable, "policy") != load(path, PolicyTable, "policy"):
        problem = "the environment changes it; write it into the file, since the audit log records the file"
        raise ConfigError(f"policy: {path}: {problem}")


def compile_local_policy(text: bytes) -> AppraisalPolicy:
    """Reads a worker's own policy from its recorded text; an earlier release may have taken it.

    Raises:
        ConfigError: names the field.
    """
    try:
        return read_policy(build(text.decode("utf-8"), PolicyTable, "policy"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"policy: not TOML ({error})") from error


def compile_policy(signed: SignedPolicy) -> AppraisalPolicy:
    """Reads the text of a signed policy; an earlier release may have taken it.

    Raises:
        ConfigError: names the field.
    """
    table = build(signed.text, PolicyTable, f"policy {signed.id}/{signed.version}")
    if table.id != signed.id:
        raise ConfigError(f"policy {signed.id}: its text states id = {table.id!r}")
    return read_policy(table)
