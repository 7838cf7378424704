"""resmem: a memory for any tabular model.

A base model learns what it can, a nearest-neighbour index over its residuals memorises the rest, and the
prediction is the sum: ResMem (Yang et al., NeurIPS 2023, arXiv 2302.01576).
"""

__version__ = "0.1.0"
