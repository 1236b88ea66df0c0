"""The rules of allocation: pure, columns in and columns out."""
