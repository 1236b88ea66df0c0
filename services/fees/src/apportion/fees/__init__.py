"""Fee terms, calculations and charges."""
