"""The shell that all services share. It may touch the outside world and import ``schemas``, but no service.

``settings``, ``command_line`` and ``service`` start and stop a process. ``telemetry`` and ``monitoring`` show what it
does. ``mqtt`` and ``intake`` receive messages. ``database``, ``durable`` and ``keys`` are files, ``clock`` is time.
``audit_log`` writes and reads audit logs, ``time_stamps`` asks and checks TSAs.
"""
