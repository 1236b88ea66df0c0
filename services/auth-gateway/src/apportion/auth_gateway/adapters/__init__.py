"""Other services, over gRPC, behind the ports."""
