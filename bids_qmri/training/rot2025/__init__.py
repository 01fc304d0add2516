"""The networks of Rot et al. for one diffusion scheme: NODDI parameters from normalised signals.

Rot et al., doi:10.48550/arXiv.2507.12632.
"""
