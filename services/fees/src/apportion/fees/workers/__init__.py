"""Loops that run for ever."""
