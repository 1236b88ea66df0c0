"""The gRPC face: parse, call, render."""
