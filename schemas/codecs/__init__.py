"""Bytes in, values out, and back: CBOR, COSE, CMW, JWS, DER time stamps, and the typed readers that the others use."""
