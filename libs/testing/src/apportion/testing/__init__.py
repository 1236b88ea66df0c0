"""pytest plugin: a database per test, Valkey, in-process servers, a fixed clock."""
