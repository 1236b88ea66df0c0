"""Terms, calculations, charges and transfers in PostgreSQL."""
