"""A recorded audit log once more: opening entries, results derived again, a policy on trial."""
