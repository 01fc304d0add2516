"""Trained networks: what they are given, what their cards say, what they answer."""
