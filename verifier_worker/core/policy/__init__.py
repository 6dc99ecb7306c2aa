"""Appraisal policies: the file, which of them is in force for whom, and their own rules in CEL."""
