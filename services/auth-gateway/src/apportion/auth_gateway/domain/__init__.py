"""Rules without input or output: brokers, passwords, tokens, addresses, languages."""
