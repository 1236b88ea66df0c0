"""The rules of fees: terms, the trade fee, the life of a charge. Pure."""
