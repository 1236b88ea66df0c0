"""Masters, subscriptions, columnar decisions and child trades in PostgreSQL."""
