"""PostgreSQL: masters, subscriptions, allocations as columnar rows, child trades."""
