"""Appraisal policies: their file format, which policy is in force for which group, and rules in CEL."""
