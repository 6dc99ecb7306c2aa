"""One device of the demo: a software TPM, firmware and a kernel that measure, and its agent."""
