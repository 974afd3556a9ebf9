"""One module for each companion paper: what its notebook measures."""
