"""The dependencies that the agent's Debian package declares."""

from deploy.package import LIBRARIES, fingerprint, libraries_of


def test_a_library_is_needed_where_the_compiled_module_names_it() -> None:
    """Since tpm2-tss 4.0 the module is linked with one library more; a package that forgot it did not start."""
    old = b"libtss2-esys.so.0\0libtss2-mu.so.0\0"
    assert LIBRARIES["libtss2-policy"] not in libraries_of([old])
    assert LIBRARIES["libtss2-policy"] in libraries_of([old + b"libtss2-policy.so.0\0"])
    assert LIBRARIES["libtss2-esys"] in libraries_of([old])
    assert LIBRARIES["libtss2-tcti-device"] in libraries_of([])


def test_the_same_tree_has_the_same_fingerprint() -> None:
    assert fingerprint() == fingerprint()
