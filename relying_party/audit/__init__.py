"""An auditor's work on an audit log: check it, mend it, recompute its times, prove one fact, record another."""
