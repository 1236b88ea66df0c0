"""Terms, calculations and charges in PostgreSQL."""
