"""Lists as files for people."""
