"""The inference hop: runs the model of a pipeline on columns."""
