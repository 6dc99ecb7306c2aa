"""Next steps that several reasons share."""

from typing import Final

SENDER: Final = "find out who writes to this topic; the broker's access list states who may"
CLOCKS: Final = "compare this machine's clock with a time server, then the sender's"
KEYS: Final = "compare the key files configured here with the signer's public key"
WAIT: Final = "nothing: the next push settles it; if it stays, look at the agent's log"
RESEND: Final = "nothing: the verifier has asked for it again; if it stays, look at the agent's log"
ENROL: Final = "look at the request with `endorser pending`, and at what was delivered with the device"
DISTRIBUTOR: Final = "look at the handle distributor's log, and whether its messages reach the device and the verifier"
TSA: Final = "look at the Time Stamp Authority, and name a second one in the distributor's settings"
IMAGE: Final = (
    "compare with the approved image; if you made the change, publish new reference values, else isolate the device"
)
BOOT: Final = "compare the boot log with the approved one; if you made the change, publish new reference values"
LOG_COPY: Final = (
    "compare with another copy of the log, with `audit fsck`, and with the checkpoints that witnesses signed"
)
POLICY: Final = "look at the policy; `verifier-worker appraise` tries one on recorded evidence"
