"""The content of audit logs: entries, the keys and roots that a verifier trusted, and proofs about one device."""
