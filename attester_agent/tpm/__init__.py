"""The TPM over any TCTI: the only importer of tpm2-pytss."""
