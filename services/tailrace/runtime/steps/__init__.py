"""Steps over the columns of a batch: what the ingest and postprocess hops share."""
