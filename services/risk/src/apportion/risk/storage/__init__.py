"""Limits, deals and trips in PostgreSQL."""
