"""The HTTP face: transport rules, then one method for each name."""
