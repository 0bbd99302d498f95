"""What a run is told as: summary, JSON, CSV, Prometheus, InfluxDB lines, HTML."""
