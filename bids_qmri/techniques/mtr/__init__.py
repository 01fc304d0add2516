"""Magnetisation transfer ratio from images with and without an MT pulse (BIDS: MTR)."""
