"""Networks: simulated data, training, export. The only package that imports torch."""
