"""Objectives of pipeline files as Prometheus rules, Sloth specs, a dashboard and a report."""
