"""Proves with a genuine Elasticsearch that it takes, and finds, every line that the mesh writes."""
