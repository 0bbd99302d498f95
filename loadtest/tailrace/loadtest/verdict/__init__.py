"""Whether a run was good enough: objectives, and comparisons with an earlier run."""
