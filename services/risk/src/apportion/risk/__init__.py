"""Risk: the daily limit of a master, its trips and their evidence."""
