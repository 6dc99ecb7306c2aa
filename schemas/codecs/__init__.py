"""Encoders and decoders: CBOR, COSE, CMW, JWS, DER time stamps, and typed access to decoded values."""
