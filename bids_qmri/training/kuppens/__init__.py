"""The networks of Kuppens et al. (doi:10.48550/arXiv.2412.20844): NCDE for variable protocols, MLP for one.

For comparison. What the available text of the study leaves open (widths of layers, repetition time, range of
the delay) is chosen by the recipes.
"""
