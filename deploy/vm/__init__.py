"""``./run vm``: a whole machine under QEMU, attested from outside."""
