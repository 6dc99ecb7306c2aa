"""The audit log's content: entries, the anchors they were judged by, and proofs of one claim about one device."""
