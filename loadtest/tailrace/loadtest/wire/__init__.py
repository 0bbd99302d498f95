"""gRPC over HTTP/2, for a caller that makes many calls and looks at little of their answers."""
