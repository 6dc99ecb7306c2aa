"""The tamper-evident audit log of one writer: journal, Merkle tree of tiles, checkpoints, and where they are stored.

``writer`` appends, ``sequencer`` moves entries from the ``journal`` into the tree (``tree_writer``, ``tile_log``),
``signer`` and ``stamper`` make checkpoints, ``retention`` prunes. ``any_log`` and ``captured`` read. ``store`` is a
folder, and ``object_store`` a bucket.
"""
