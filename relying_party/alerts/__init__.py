"""The alert service: reports changed verdicts to webhooks, Alertmanager and a topic.

Pure: ``rules`` decides which change is reported, ``storms`` combines many changes, ``silence`` watches the broker and
the verifiers, ``ledger`` puts them together, ``alert_text`` writes the alerts, ``delivery`` holds values for the
queues, ``webhook_signature`` signs. Around them: ``service`` is the loop, ``store`` the database, ``receivers``
delivers, ``receiver_thread`` runs a receiver, ``http_post`` is the HTTP client, ``settings`` the TOML file.
"""
