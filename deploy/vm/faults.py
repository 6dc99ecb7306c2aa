"""Faults of a device, and the finding that ``attester-agent doctor`` must print for each. Only data."""

from dataclasses import dataclass
from typing import Final

_CONFIGURATION: Final = "/etc/attestream/agent.toml"
_SECURITY: Final = "/sys/kernel/security"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault.

    Attributes:
        name: for people.
        harm: shell commands that cause it.
        mend: shell commands that undo it.
        finding: regular expression that the doctor's finding matches.
        todo: text in the next step that the doctor prints.
    """

    name: str
    harm: str
    mend: str
    finding: str
    todo: str


FAULTS: Final = (
    Fault(
        name="no right to open the TPM",
        harm="gpasswd --delete attestream tss",
        mend="gpasswd --add attestream tss",
        finding=r"fail +tpm: /dev/tpmrm0: uid \d+ may not open it",
        todo="usermod -aG tss",
    ),
    Fault(
        name="IMA list unreadable",
        harm=f"chgrp root {_SECURITY}/ima/binary_runtime_measurements",
        mend=f"chgrp attestream {_SECURITY}/ima/binary_runtime_measurements",
        finding=r"fail +log ima: .*binary_runtime_measurements",
        todo="chgrp attestream",
    ),
    Fault(
        name="broker away",
        harm=f"sed -i.kept 's/^port = .*/port = 9/' {_CONFIGURATION}",
        mend=f"mv {_CONFIGURATION}.kept {_CONFIGURATION}; chown root:attestream {_CONFIGURATION}",
        finding=r"fail +broker: \S+:9: no subscription",
        todo="does a firewall block it",
    ),
    Fault(
        name="clock an hour behind",
        harm="date --set '1 hour ago'",
        mend="date --set '1 hour'",
        finding=r"fail +clock: stamped \d+ s after this machine's time",
        todo="NTP",
    ),
    Fault(
        name="clock an hour ahead",
        harm="date --set '1 hour'",
        mend="date --set '1 hour ago'",
        finding=r"fail +handle: stamped \d+ s before this machine's time",
        todo="NTP",
    ),
    Fault(
        name="not enrolled",
        harm=f"sed -i.kept 's/^ek = .*/ek = \"rsa\"\\nak_handle = 0x81020077/' {_CONFIGURATION}",
        mend=f"mv {_CONFIGURATION}.kept {_CONFIGURATION}; chown root:attestream {_CONFIGURATION}",
        finding=r"fail +attesting key: none at 0x81020077",
        todo="attester-agent enrol",
    ),
)
