"""The contract: everything two parties must agree on, and nothing that touches the world.

Floors, upper ones may use lower ones only:

* messages   -- ``handle``, ``evidence``, ``result``, ``endorsement``, ``reference_values``, ``solicit``, ``status``
* structures -- ``tpm_attest``, ``tpm_signature``, ``tpm_public``, ``tst_info``, ``pcr``, ``tcg2_log``, ``ima_log``,
  ``log_replay``, ``corim``
* codecs     -- ``cbor``, ``cmw``, ``cose``, ``jws``, ``fields``, ``reader``
* vocabulary -- ``errors``, ``reasons``, ``hashes``, ``limits``, ``media_types``, ``topics``, ``identifiers``

Invariant: no module here performs I/O, reads a clock, draws randomness or logs.
"""
