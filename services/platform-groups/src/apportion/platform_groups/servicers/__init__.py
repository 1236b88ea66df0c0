"""One method for each RPC: parse, call, render."""
