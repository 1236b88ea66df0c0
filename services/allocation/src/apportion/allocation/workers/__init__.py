"""Loops that run for ever: what sends, projects, compares and measures behind the decisions."""
