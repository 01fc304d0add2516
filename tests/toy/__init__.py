"""A technique that the package does not know: spin echoes at several echo times, for tests alone."""
