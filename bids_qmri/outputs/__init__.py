"""What each model writes, as tables that drive names, sidecars, figures and group tables."""
