"""Writes and reads tamper-evident audit logs: a journal, a Merkle tree in tiles, and signed checkpoints.

``writer`` appends to the ``journal``. ``sequencer`` moves entries from there into the tree (``tree_writer``).
``signer`` and ``stamper`` sign and stamp checkpoints. ``retention`` deletes old evidence. ``log_reader``,
``any_log`` and ``recorded_messages`` read. An audit log is kept in a folder (``store``) or a bucket (``object_store``).
"""
