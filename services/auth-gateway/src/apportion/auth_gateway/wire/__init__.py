"""JSON-RPC to values and back: strict parsing, parameters, results, errors."""
