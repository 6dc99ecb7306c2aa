"""The pure core: certificate paths, enrolment, what is signed, reference values learned from logs."""
