"""Parts of the benchmark `rot2025`."""
