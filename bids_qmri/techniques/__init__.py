"""One folder per technique: what is true of one kind of acquisition stands there and nowhere else."""
