"""Loops that run for ever: the watch on trading servers, and the closing of trips."""
