"""The model side of `curate`: encoders, fusion, methods and the one training loop.

Top-level and generically named, so `cli` checks `HOUSE` before it uses this package: another distribution's `train`
could have taken its place. Importing this package loads no torch.
"""

HOUSE = "curate"
