"""The load tool against a server of grpc-java, another implementation of gRPC and of HTTP/2."""
