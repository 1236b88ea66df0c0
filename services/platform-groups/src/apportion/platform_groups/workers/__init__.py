"""Loops that carry out what was accepted, and read what happened."""
