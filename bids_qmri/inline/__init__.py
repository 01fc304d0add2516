"""Maps while the patient is still in the scanner: a server for streams of MRD images."""
