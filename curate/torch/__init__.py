"""For your own training loop, with any version of torch: posteriors as sampler weights, selections as subsets."""

from .samplers import sampler_weights, selected

__all__ = ["sampler_weights", "selected"]
