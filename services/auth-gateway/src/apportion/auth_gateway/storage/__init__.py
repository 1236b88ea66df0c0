"""Brokers in PostgreSQL; tokens, sessions and quotas in Redis."""
