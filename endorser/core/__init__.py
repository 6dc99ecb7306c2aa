"""The pure core: certificate paths, enrolment, signed objects, reference values learned from measurement logs."""
