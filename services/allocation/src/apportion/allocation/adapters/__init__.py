"""The ports of the operations, over gRPC and the weather."""
