"""Grafana dashboards, made from a short description, so that four of them look alike."""
