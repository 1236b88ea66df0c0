"""Exact int64 fixed-point money, volumes and splitting."""
