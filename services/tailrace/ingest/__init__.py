"""The ingest hop: validates requests and turns their fields into columns."""
