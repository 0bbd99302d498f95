"""Benchmarks of the mesh, of submissions, features and telemetry, and their baselines."""
