"""What the service does: one use case in each file."""
