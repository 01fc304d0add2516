"""Image-quality metrics of maps, and checks that warn."""
