"""Everything that submissions need, as real processes that are killed at random, and a checker."""
