"""The measurement logs of a device: the kernel's, and CEL files that ``attester-agent measure`` writes."""
