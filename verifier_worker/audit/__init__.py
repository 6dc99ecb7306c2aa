"""Audit logs: the entries that open them, recomputing their results, trying a policy on their evidence."""
