"""Embedded PostgreSQL and Valkey, development certificates, process supervisor, demo."""
