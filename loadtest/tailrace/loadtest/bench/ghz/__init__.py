"""`tailrace load` beside the genuine ghz, against a server written in Go."""
