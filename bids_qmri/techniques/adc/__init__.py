"""Apparent diffusion coefficient of series without directions (BIDS: dwi; maps ADC and S0map)."""
