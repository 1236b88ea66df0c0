"""Rules without input or output: states, what an answer means, what counts as evidence."""
