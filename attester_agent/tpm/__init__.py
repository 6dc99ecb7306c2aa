"""The TPM, over any TCTI. Nothing else imports tpm2-pytss."""
