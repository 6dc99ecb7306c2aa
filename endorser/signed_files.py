"""Writes, publishes and shows files of signed objects. Reads keys and inputs from files too."""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from endorser.adapters.captured_evidence import read_signed
from endorser.adapters.publisher import Publication, publication_of, publish
from endorser.adapters.statement_file import StatementFile
from endorser.core.endorsements import (
    Statement,
    describe,
    endorse,
    parse_any_file_key,
    refer,
    sign_policy_text,
    verify_any,
)
from endorser.core.measurement_lines import parse_file_lines, parse_pcr_lines
from endorser.settings import statement_path
from runtime import clock
from runtime.durable import write_durable
from runtime.keys import load_public_keys, load_signing_key, read_file
from runtime.mqtt import MqttSettings
from runtime.settings import naming
from schemas.codecs import cose
from schemas.errors import ConfigError, PeerError
from schemas.identifiers import Ueid
from schemas.messages.trust_statement import TrustStatement
from schemas.topics import check_name
from schemas.tpm.pcr import parse_selection_text

AUTO: Final = "auto"
DEFAULT_ISSUER: Final = "endorser"
_CHUNK_BYTES: Final = 1 << 20


def statement(signer: str, version: str, days: int) -> Statement:
    """Signer, version and validity of an object signed now; the version ``auto`` is the current UTC second.

    Raises:
        ConfigError: ``version`` is not a number, or ``days`` is less than 1.
    """
    now_s = clock.utc_s()
    if version != AUTO and not version.isdecimal():
        raise ConfigError(f"--version {version!r}: expected a number that grows, or {AUTO}")
    if days <= 0:
        raise ConfigError(f"--days {days}: expected at least 1")
    return Statement(signer=signer, version=now_s if version == AUTO else int(version), now_s=now_s, days=days)


def endorse_to_file(
    made: Statement, key: Path, ueid: Ueid, ak_public: Path, out: Path, group: str | None = None
) -> None:
    """Writes a signed endorsement to ``out``."""
    write_durable(out, endorse(made, ueid, read_file(ak_public), load_signing_key(key), group))


def policy_to_file(made: Statement, key: Path, policy: Path, out: Path) -> None:
    """Writes a signed appraisal policy to ``out``.

    Raises:
        ConfigError: names the file and its problem.
    """
    with naming(policy):
        try:
            text = read_file(policy).decode("utf-8")
        except UnicodeDecodeError as error:
            raise ConfigError(f"not UTF-8 ({error})") from error
        write_durable(out, sign_policy_text(made, text, load_signing_key(key)))


def refer_to_file(
    made: Statement,
    key: Path,
    name: str,
    *,
    pcrs: tuple[Path, str] | None,
    files: dict[bytes, str],
    keys: Sequence[Path] = (),
    out: Path,
) -> None:
    """Writes signed reference values to ``out``.

    Args:
        made: signer, version and validity.
        key: the endorser's key file.
        name: the set's name.
        pcrs: a file of PCR lines, and the PCRs to take from it, as ``sha256:0-9``; None for no PCRs.
        files: acceptable file digests with their paths.
        keys: files of keys for file signatures.
        out: the file to write.
    """
    try:
        check_name(name)
        selection = None if pcrs is None else parse_selection_text(pcrs[1])
    except PeerError as error:
        raise ConfigError(error.detail) from error
    registers = {}
    if pcrs is not None and selection is not None:
        registers = parse_pcr_lines(read_file(pcrs[0]).decode("utf-8", "replace"), selection)
    file_keys = tuple(parse_any_file_key(path.name, read_file(path)) for path in keys)
    write_durable(out, refer(made, name, registers, files, load_signing_key(key), file_keys))


def _digest_files(paths: Iterable[Path]) -> dict[bytes, str]:
    """SHA-256 of each file, with its path.

    Raises:
        ConfigError: a file cannot be read.
    """
    files: dict[bytes, str] = {}
    for path in paths:
        try:
            with path.open("rb") as file:
                files[hashlib.file_digest(file, "sha256").digest()] = str(path)
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from error
    return files


def digests_of(listed: Path | None, paths: Sequence[Path]) -> dict[bytes, str]:
    """The files of a set: those in a list in the form of ``sha256sum``, and those at ``paths``, measured now."""
    from_list = {} if listed is None else parse_file_lines(read_file(listed).decode("utf-8", "surrogateescape"))
    return from_list | _digest_files(paths)


def publish_files(
    settings: MqttSettings,
    endorser_keys: Sequence[Path],
    paths: Sequence[Path],
    *,
    key: Path | None = None,
    withdraw: Sequence[str] = (),
    by: str = "",
) -> list[Publication]:
    """Publishes signed objects, if all verify, and then the statement that they are in force.

    Args:
        settings: of the broker.
        endorser_keys: one of them must have signed each object.
        paths: of the objects.
        key: the private key that signs the statement; by default the one beside the first public key. Where there is
            none, no statement is made.
        withdraw: objects that are not in force any more, as ``policies/ID``.
        by: who withdraws them.

    Returns:
        The published messages.

    Raises:
        ConfigError: a file cannot be read, or is not an object signed by one of ``endorser_keys``.
        WorldError: ``broker-unreachable``.
    """
    keys = load_public_keys(endorser_keys)
    key = key or key_beside(endorser_keys)
    publications, made = [], []
    for path in paths:
        raw = read_signed(path)
        try:
            verified = verify_any(raw, keys)
            publications.append(publication_of(verified, raw, settings.topics))
        except PeerError as error:
            raise ConfigError(f"{path}: {error}") from error
        if not isinstance(verified, TrustStatement):
            made.append((verified, raw))
    file = None if key is None else StatementFile(statement_path(key), load_signing_key(key), DEFAULT_ISSUER)
    if file is None:
        publish(settings, publications)
        return publications
    with file.next() as statement:
        statement.put_in_force(made)
        statement.withdraw(withdraw, by)
        publish(settings, publications)  # a statement must not arrive before the objects that it lists
    last = file.last()
    if last is not None:
        stated = publication_of(*last, settings.topics)
        publish(settings, [stated])
        publications.append(stated)
    return publications


def key_beside(public_keys: Iterable[Path]) -> Path | None:
    """The private key in the file beside the first public key; None where there is none."""
    for path in public_keys:
        private = path.with_suffix(".key")
        if private.is_file() and cose.key_id(load_signing_key(private).public_key()) in load_public_keys([path]):
            return private
    return None


def show_file(endorser_keys: Sequence[Path], path: Path) -> str:
    """Describes a signed object for people, if it verifies.

    Raises:
        ConfigError: it cannot be read, or was not signed by one of ``endorser_keys``.
    """
    try:
        verified = verify_any(read_signed(path), load_public_keys(endorser_keys))
    except PeerError as error:
        raise ConfigError(f"{path}: {error}") from error
    start_s = verified.issued_s if isinstance(verified, TrustStatement) else verified.not_before_s
    validity = (start_s, verified.not_after_s)
    return describe(verified, [datetime.fromtimestamp(each, UTC).isoformat() for each in validity])
