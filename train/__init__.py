"""The model side of `curate`: encoders, fusion, methods and the one training loop; imported as `curate.train`.

Importing this package loads no torch.
"""
