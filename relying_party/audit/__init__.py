"""An auditor's work on audit logs.

``fsck`` checks a whole audit log, ``repair`` writes damaged hashes again, ``cosigning`` collects witnesses' signatures.
``time_audit`` recomputes when each quote was made, with ``time_anchors``. ``proof_maker`` chooses the entries of a
proof; ``proof_check`` checks a proof with ``proof_objects`` and ``proof_replay``; ``proof_text`` prints the answer.
``recorder`` writes an audit log from the messages on the broker, with ``evidence_pairing``.
"""
