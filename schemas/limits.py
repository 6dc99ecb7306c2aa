"""Limits on input from outside. Each is checked before the bytes are parsed."""

MAX_MESSAGE_BYTES = 256 * 1024  # of an MQTT payload; the agent splits evidence at half of this
MAX_EVIDENCE_BYTES_DEFAULT = 128 * 1024  # one push
MAX_REFERENCE_VALUES_BYTES = 16 * 1024 * 1024  # 100,000 digests of 32 bytes with names
MAX_CBOR_DEPTH = 16
MAX_CBOR_ITEMS = 8192  # in one message that no trusted key signed
MAX_CBOR_PAIRS = 256  # in one map of such a message
MAX_TEXT_BYTES = 4096
MAX_CLAIMS = 64
MAX_CLAIMS_BYTES = 8 * 1024  # of the names and values of all claims of one attester
MAX_EXACT_INTEGER = 2**53  # RFC 8259, section 6: integers that every JSON reader keeps
MAX_CLOCK_MS = 2**42  # 139 years of a TPM's clock; sums with UTC microseconds stay below 2^53
MAX_LOGS = 16
MAX_LOG_ENTRIES = 2_000_000  # entries of one log in one boot
MAX_TRANSITIONS = 128  # listed in one push; an attester lists the last ones of a boot
MAX_LOG_ENTRY_BYTES = 64 * 1024  # one record of a boot log or IMA list (real ones: a few KiB)
MAX_BOOT_LOG_BYTES = 16 * 1024 * 1024
MAX_PCR_BANKS = 8
MAX_PCR_INDEX = 23  # PC Client TPM Profile: 24 PCRs
MAX_KEYS = 256  # in one key set of a verifier
MAX_FILE_KEYS = 16  # keys for file signatures in one set of reference values
MAX_ATTEST_BYTES = 2048
MAX_SIGNATURE_BYTES = 1088  # RSA-8192 and its header
MAX_TIME_STAMP_TOKEN_BYTES = 32 * 1024
MAX_UNEXPECTED_LISTED = 16  # unexpected files or PCRs listed in one result
