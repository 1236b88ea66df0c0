"""Trading servers, platform groups, accounts, orders and transfers."""
