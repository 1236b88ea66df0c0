"""The JSON-RPC gateway: la.auth, redirect, sessions, reads."""
