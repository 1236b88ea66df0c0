"""Protos to domain and back."""
