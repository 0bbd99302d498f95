"""The method that is called: from reflection, .proto files, or a protoset."""
