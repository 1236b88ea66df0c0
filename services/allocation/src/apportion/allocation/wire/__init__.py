"""Messages to commands, columns and back: pure."""
