"""For a training loop of one's own, with any torch: a recorder of predictions, sampler weights and subsets."""

from .recorder import Recorder
from .samplers import sampler_weights, selected

__all__ = ["Recorder", "sampler_weights", "selected"]
