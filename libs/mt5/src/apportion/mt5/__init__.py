"""Client of the MetaTrader 5 Web API (HTTPS form)."""
