"""Load tests and benchmarks of a running mesh."""
