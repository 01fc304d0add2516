"""From a planned job to written maps: prepare signals, fit block by block, write; and nipype's view of it."""
