"""Risk limits, trips and their evidence."""
