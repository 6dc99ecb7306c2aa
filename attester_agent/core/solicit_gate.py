"""Decides which verified solicits the agent follows.

A solicit works once: its verifier's ``issued_us`` must rise, and the agent remembers it across restarts. It works for
this device only. A token bucket limits how often, so that even a stolen verifier key cannot keep a device busy.
Verifies no signature: ``schemas.messages.solicit.verify_solicit`` does.
"""

from collections.abc import Mapping

from schemas.errors import PeerError
from schemas.identifiers import Ueid
from schemas.messages.solicit import Solicit
from schemas.reasons import Reason


def check_solicit(solicit: Solicit, ueid: Ueid, last_issued_us: Mapping[str, int]) -> None:
    """Checks a verified solicit.

    Args:
        solicit: from a verifier.
        ueid: this device.
        last_issued_us: by verifier, of the last solicit accepted.

    Raises:
        PeerError: ``object-misdirected`` if it is for another device, ``object-rolled-back`` if it is not newer.
    """
    if solicit.ueid != ueid:
        raise PeerError(Reason.OBJECT_MISDIRECTED, "solicit: for another device")
    last = last_issued_us.get(solicit.verifier)
    if last is not None and solicit.issued_us <= last:
        raise PeerError(
            Reason.OBJECT_ROLLED_BACK,
            f"solicit of {solicit.verifier}: issued at {solicit.issued_us} us, one of {last} us was accepted before",
        )
