"""A training loop of one's own: record, score, and train on with what the table knows.

python examples/plain_pytorch.py FREE_SPOKEN_DIGIT_DATASET [EPOCHS [EVERY_NTH_SAMPLE]]
"""

import sys
from pathlib import Path

import torch
from torch import nn

import curate
from curate.datasets import find
from curate.torch import AdaptiveLoss, Recorder, multimodal_cross_entropy


class TwoBranches(nn.Module):
    """A small network with a head on each branch; their sum is the fusion."""

    def __init__(self, classes):
        super().__init__()
        self.audio = nn.Sequential(nn.Linear(50, 64), nn.ReLU(), nn.Linear(64, classes))
        self.visual = nn.Sequential(nn.Flatten(), nn.Linear(32 * 32, 64), nn.ReLU(), nn.Linear(64, classes))

    def forward(self, wave, picture):
        audio = self.audio(torch.fft.rfft(wave).abs()[:, 1:].unflatten(1, (50, -1)).mean(dim=2).log1p())
        visual = self.visual(picture)
        return audio, visual, audio + visual


def main(root, epochs=10, nth=1):
    """Train by the multimodal loss, then as long by the adaptive one with the posteriors of the first."""
    torch.manual_seed(0)
    digits = find("avdigits")(Path(root), find("avdigits").Options())
    samples = [s for s in digits.samples if s.split == "train"][::nth]
    ids, labels = [s.sample_id for s in samples], torch.tensor([digits.classes.index(s.label) for s in samples])
    wave = torch.stack([torch.from_numpy(digits.load(s, "audio")) for s in samples]) / 32768
    picture = torch.stack([torch.from_numpy(digits.load(s, "visual")) for s in samples]) / 255
    model, recorder, adaptive = TwoBranches(len(digits.classes)), Recorder("recorded", digits.classes), None
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for epoch in range(2 * epochs):
        with recorder.epoch():
            for batch in torch.randperm(len(ids)).split(64):
                audio, visual, fused = model(wave[batch], picture[batch])
                names, logits = [ids[i] for i in batch], {"audio": audio, "visual": visual}
                recorder.add(names, labels[batch], logits, fused)
                loss = multimodal_cross_entropy(logits, fused, labels[batch])
                if adaptive is not None:
                    loss = adaptive(names, labels[batch], logits, fused, epoch - epochs)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        if epoch + 1 == epochs:
            recorder.score("curate.duckdb")
            adaptive = AdaptiveLoss(curate.open("curate.duckdb"))
    print(curate.open("curate.duckdb").sql("SELECT dominant, count(*), avg(p_balanced) FROM samples GROUP BY 1"))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:])) if sys.argv[1:] else sys.exit(__doc__)
