"""A simulated MetaTrader 5 server that speaks the Web API."""
