"""Fees: the terms of each subscription, the calculation of every fee, and its charge."""
