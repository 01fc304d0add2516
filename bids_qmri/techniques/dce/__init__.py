"""Dynamic contrast-enhanced series: the Tofts models."""
