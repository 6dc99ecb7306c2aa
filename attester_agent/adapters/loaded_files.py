"""Loads or checks the files that the configuration names: keys, roots, measurement logs."""

import importlib

from attester_agent.adapters.sync_stamper import TsaSyncStamper
from attester_agent.core.handle_gate import ClockTrust
from attester_agent.core.trust import Trust
from attester_agent.settings import Settings
from runtime import clock
from runtime.durable import check_folder_of, check_readable
from runtime.keys import load_public_keys
from runtime.settings import naming
from runtime.time_stamps.verifier import load_time_stamp_verifier
from schemas.errors import ConfigError


def load_trust(settings: Settings) -> Trust:
    """Loads all keys and roots named in the configuration.

    Raises:
        ConfigError: names the file that is missing or wrong.
    """
    trust = settings.trust
    with naming("trust.distributor_keys"):
        distributors = load_public_keys(trust.distributor_keys)
    with naming("trust.verifier_keys"):
        verifiers = load_public_keys(trust.verifier_keys)
    with naming("trust.tsa_roots"):
        stamps = load_time_stamp_verifier(trust.tsa_roots)
    return Trust(distributors=distributors, verifiers=verifiers, stamps=stamps, clock=ClockTrust(trust.clock))


def load_stamper(settings: Settings) -> TsaSyncStamper | None:
    """The TSAs that stamp sync proofs; None if ``[sync_stamp]`` names no TSA.

    Raises:
        ConfigError: names the file that is missing or wrong.
    """
    wanted = settings.sync_stamp
    if not wanted.urls:
        return None
    # Imported here: the TSA client (requests, pyasn1) is about a sixth of the agent's memory, and most agents ask none.
    client = importlib.import_module("runtime.time_stamps.client")
    with naming("sync_stamp.roots, sync_stamp.intermediates"):
        stamps = load_time_stamp_verifier(wanted.roots, wanted.intermediates)
    with naming("sync_stamp.tls_ca_file"):
        authorities = client.open_authorities(
            wanted.addresses, stamps, timeout_s=wanted.timeout_s, tls_ca_file=wanted.tls_ca_file
        )
    return TsaSyncStamper(authorities, monotonic_s=clock.monotonic_s, random_bytes=clock.random_bytes)


def check_files(settings: Settings) -> None:
    """Checks the files named in the configuration, without asking the TPM or the broker. Changes nothing.

    Raises:
        ConfigError: names the field and the file.
    """
    load_trust(settings)
    load_stamper(settings)
    if settings.handle_file is not None and settings.handle_file.is_dir():
        raise ConfigError(f"handle_file: {settings.handle_file}: is a folder, expected a file with a handle")
    logs = {"tcg2": settings.logs.tcg2, "ima": settings.logs.ima}
    logs |= {f"cel.{name}": path for name, path in settings.logs.cel.items()}
    for name, path in logs.items():
        if path is None:
            continue
        if name.startswith("cel.") and not path.exists():  # the first `attester-agent measure` makes it
            check_folder_of(path, f"logs.{name}")
        else:
            check_readable(path, f"logs.{name}")
    check_folder_of(settings.state, "state")
