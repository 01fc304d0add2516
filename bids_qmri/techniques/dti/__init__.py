"""Diffusion tensor and diffusion kurtosis."""
