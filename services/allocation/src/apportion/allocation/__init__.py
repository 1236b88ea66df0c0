"""Masters, subscriptions, allocations and child trades."""
