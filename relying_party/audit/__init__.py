"""An auditor's work on audit logs.

``fsck`` checks a whole audit log, ``repair`` writes damaged hashes again, ``cosigning`` collects witnesses' signatures.
``time_audit`` recomputes when each quote was made, with ``time_anchors``. ``proof_maker`` chooses the entries of a
proof. ``proof_check`` checks a proof with ``proof_objects``, ``proof_policy``, ``proof_sides``, ``proof_replay`` and
``proof_between``; ``proof_verdict`` has the answer, ``proof_text`` prints it.
``recorder`` writes an audit log from the messages on the broker, with ``evidence_pairing``.
"""
