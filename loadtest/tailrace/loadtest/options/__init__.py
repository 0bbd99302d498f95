"""What a load test is asked to do: flags, configuration files, and their checks."""
