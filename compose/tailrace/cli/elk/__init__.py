"""Makes what `compose/elk` commits for Elasticsearch and Kibana, of the one list of log fields."""
