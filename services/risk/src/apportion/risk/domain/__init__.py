"""The rules of risk: limits, the day's books, the watch, trips. Pure."""
