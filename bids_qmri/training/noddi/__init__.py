"""Training of the network for multi-shell diffusion protocols; its features are in `estimators.zonal`."""
