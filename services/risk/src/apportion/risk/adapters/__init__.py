"""Other services over gRPC, and the weather in Redis."""
