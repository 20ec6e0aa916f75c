"""For a training loop of one's own, with any torch: what the table knows, as weights and subsets."""

from .samplers import sampler_weights, selected

__all__ = ["sampler_weights", "selected"]
