"""Neurite orientation dispersion and density imaging."""
