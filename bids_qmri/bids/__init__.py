"""Everything that knows BIDS files: finding, reading, naming, writing."""
