"""Outbox relay to Redis Streams and partitioned consumers with leases and epochs."""
