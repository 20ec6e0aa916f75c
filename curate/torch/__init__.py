"""For a training loop of one's own; of torch alone, from 2.4 on.

A recorder of predictions, unimodal logits of models that have none, the adaptive loss, sampler weights and subsets.
"""

from .adaptive import AdaptiveLoss
from .heads import LinearProbes, channel_statistics, mask_out, split_head
from .losses import multimodal_cross_entropy
from .recorder import Recorder
from .samplers import EpochSampler, sampler_weights, selected, selected_rows

__all__ = [
    "AdaptiveLoss",
    "EpochSampler",
    "LinearProbes",
    "Recorder",
    "channel_statistics",
    "mask_out",
    "multimodal_cross_entropy",
    "sampler_weights",
    "selected",
    "selected_rows",
    "split_head",
]
