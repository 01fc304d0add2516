"""Estimators: signals and a protocol in, maps with error bars out."""
