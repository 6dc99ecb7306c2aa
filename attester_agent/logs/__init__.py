"""The measurement logs of a device: those of the kernel, and CEL logs such as ``attester-agent measure`` writes."""
