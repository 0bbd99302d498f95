"""Templates in the form of Go's text/template, which is ghz's: https://pkg.go.dev/text/template."""
