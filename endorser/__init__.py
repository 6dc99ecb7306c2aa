"""The endorser and reference value provider: signs endorsements of attesting keys, reference values and policies.

``commands`` has the command line. ``service`` and ``enrolment_service`` enrol devices over the broker; ``registrar``
answers their messages. ``signed_files`` and ``reference_sets`` make signed objects from files. ``adapters`` has the
registry and other connections to the outside world; ``core`` is pure. Needs no TPM.
"""
