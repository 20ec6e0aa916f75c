"""Several processes: each records its share, one scores, and all draw by the table's weights.

torchrun --nproc-per-node 2 examples/two_processes.py FREE_SPOKEN_DIGIT_DATASET [EPOCHS [EVERY_NTH_SAMPLE]]
"""

import sys
from contextlib import nullcontext
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from curate.datasets import find
from curate.torch import EpochSampler, Recorder, multimodal_cross_entropy, sampler_weights


class TwoBranches(nn.Module):
    """A small network with a head on each branch; their sum is the fusion."""

    def __init__(self, classes):
        super().__init__()
        self.audio, self.visual = nn.Linear(50, classes), nn.Sequential(nn.Flatten(), nn.Linear(32 * 32, classes))

    def forward(self, wave, picture):
        audio = self.audio(torch.fft.rfft(wave).abs()[:, 1:].unflatten(1, (50, -1)).mean(dim=2).log1p())
        visual = self.visual(picture)
        return {"audio": audio, "visual": visual}, audio + visual


def main(root, epochs=10, nth=1):
    """Train and record, score, then train as long on samples drawn by their posterior."""
    dist.init_process_group("gloo")
    digits = find("avdigits")(Path(root), find("avdigits").Options())
    samples = [s for s in digits.samples if s.split == "train"][::nth]
    ids, labels = [s.sample_id for s in samples], torch.tensor([digits.classes.index(s.label) for s in samples])
    wave = torch.stack([torch.from_numpy(digits.load(s, "audio")) for s in samples]) / 32768
    picture = torch.stack([torch.from_numpy(digits.load(s, "visual")) for s in samples]) / 255
    model, sampler = DistributedDataParallel(TwoBranches(len(digits.classes))), EpochSampler(len(ids))
    recorder, optimizer = Recorder("recorded", digits.classes), torch.optim.Adam(model.parameters(), 1e-3)
    for epoch in range(2 * epochs):
        if epoch == epochs:  # every process fits what all have recorded; one writes it to the table
            sampler.weights = sampler_weights(recorder, ids)
            if dist.get_rank() == 0:
                print(recorder.score("curate.duckdb").run_id, "is in curate.duckdb")
        sampler.set_epoch(epoch)
        with recorder.epoch(moving=True) if epoch < epochs else nullcontext():  # a weighted draw is no epoch to record
            for rows in torch.tensor(list(sampler)).split(32):
                logits, fused = model(wave[rows], picture[rows])
                if epoch < epochs:
                    recorder.add([ids[i] for i in rows], labels[rows], logits, fused)
                optimizer.zero_grad()
                multimodal_cross_entropy(logits, fused, labels[rows]).backward()
                optimizer.step()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:])) if sys.argv[1:] else sys.exit(__doc__)
