"""The feature registry: which views there are, what they mean, who uses them, what they hold."""
