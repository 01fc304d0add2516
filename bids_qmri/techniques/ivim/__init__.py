"""Intravoxel incoherent motion."""
