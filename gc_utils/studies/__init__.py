"""The studies, a folder a paper; each has a notebook of its own, or several."""
