"""Images of a series that moved: where each one lies, and the series as if nothing had moved."""
