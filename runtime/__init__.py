"""The shared shell: settings, telemetry, MQTT, keys, durable files, clocks, the service loop. A closed list.

Knows the outside world and the vocabulary of ``schemas``; knows no service.
"""
