"""Forward physics: one file per signal model."""
