"""The dispatcher: takes submissions from the queue through the chain."""
