"""Bytes, keys and certificates for tests, made without starting any process."""
