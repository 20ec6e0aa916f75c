"""For a training loop of one's own; of torch alone, from 2.4 on.

A recorder of predictions, unimodal logits of models that have none, losses and steps of the methods, weights and
subsets for samplers. `curate.lightning` and `curate.transformers` have callbacks for those trainers.
"""

from .adaptive import AdaptiveLoss
from .agm import AdaptiveModulation, coalitions, shapley
from .balance import modulate_gradients
from .heads import LinearProbes, channel_statistics, mask_out, split_head
from .iprm import ProbeAndRebalance
from .losses import multimodal_cross_entropy, trimmed_loss, usable_loss
from .mixup import geodesic_mixup
from .recorder import Recorder
from .samplers import EpochSampler, sampler_weights, selected, selected_rows
from .usable import UsableLoss
from .valuation import contributions, copies

__all__ = [
    "AdaptiveLoss",
    "AdaptiveModulation",
    "EpochSampler",
    "LinearProbes",
    "ProbeAndRebalance",
    "Recorder",
    "UsableLoss",
    "channel_statistics",
    "coalitions",
    "contributions",
    "copies",
    "geodesic_mixup",
    "mask_out",
    "modulate_gradients",
    "multimodal_cross_entropy",
    "sampler_weights",
    "selected",
    "selected_rows",
    "shapley",
    "split_head",
    "trimmed_loss",
    "usable_loss",
]
