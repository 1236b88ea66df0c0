"""Rows and outbox events of this service; every function takes the transaction."""
