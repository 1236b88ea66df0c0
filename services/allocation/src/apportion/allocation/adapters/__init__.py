"""Ports to other services over gRPC, and to the weather."""
