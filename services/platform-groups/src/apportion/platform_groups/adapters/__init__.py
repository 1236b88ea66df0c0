"""Trading servers, secrets, Redis and the database's notifications behind the ports."""
