"""What the service does: one use case per file."""
