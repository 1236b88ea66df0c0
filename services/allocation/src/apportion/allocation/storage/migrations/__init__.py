"""Schema changes, oldest first; never edited once released."""
