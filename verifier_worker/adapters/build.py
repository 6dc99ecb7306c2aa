"""The name and version of this software, as results, status messages and the audit log have them."""

from typing import Final

from runtime.service import installed_version

BUILD: Final = f"verifier_worker {installed_version()}"
