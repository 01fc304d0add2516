"""Least squares and maximum likelihood, all voxels at once."""
