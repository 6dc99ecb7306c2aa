"""The contract: everything two parties must agree on, and nothing that touches the world.

From the top; each may use those below it:

* ``replay``    recomputes PCR values from measurement logs
* ``text``      boot logs, reasons and verdicts in words
* ``audit``     entries and proofs of an audit log
* ``messages``  everything that two parties send each other, one message a module
* ``cel``, ``boot_log``, ``ima``  the three measurement logs
* ``tpm``       TPM structures; ``tlog``  Merkle trees and checkpoints
* ``codecs``    CBOR, COSE, CMW, JWS, DER
* ``topics``, ``identifiers``, ``errors``, ``reasons``, ``verdicts``, ``hashes``, ``limits``, ``media_types``,
  ``time_model``, ``instants``  the vocabulary

``schemas/cddl`` describes the messages.

Invariant: no module here performs I/O, reads a clock, draws randomness or logs.
"""
