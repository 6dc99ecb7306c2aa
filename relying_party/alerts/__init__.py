"""The alert service: which standing is worth an alert, storms, silence, receivers and what they still wait for."""
