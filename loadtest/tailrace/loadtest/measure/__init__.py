"""What is recorded: latencies, outcomes, slices of time, and how far the generator lagged."""
