"""Lightning: a callback records, scores after half of the epochs, and hands the table to the loss.

python examples/lightning_loop.py FREE_SPOKEN_DIGIT_DATASET [EPOCHS [EVERY_NTH_SAMPLE]]
"""

import sys
from pathlib import Path

import lightning.pytorch as pl
import torch
from torch import nn
from torch.utils.data import DataLoader

from curate.datasets import find
from curate.lightning import RecorderCallback
from curate.torch import AdaptiveLoss, multimodal_cross_entropy


class TwoBranches(pl.LightningModule):
    """A small network with a head on each branch; their sum is the fusion."""

    def __init__(self, classes):
        super().__init__()
        self.audio, self.visual = nn.Linear(50, classes), nn.Sequential(nn.Flatten(), nn.Linear(32 * 32, classes))
        self.adaptive = None

    def training_step(self, batch, number):
        ids, labels, wave, picture = batch
        sound = torch.fft.rfft(wave).abs()[:, 1:].unflatten(1, (50, -1)).mean(dim=2).log1p()
        logits = {"audio": self.audio(sound), "visual": self.visual(picture)}
        fused = logits["audio"] + logits["visual"]
        loss = multimodal_cross_entropy(logits, fused, labels)
        if self.adaptive is not None:
            loss = self.adaptive(ids, labels, logits, fused)
        return {"loss": loss, "record": {"sample_ids": ids, "labels": labels, "logits": logits, "fused": fused}}

    def use(self, table):
        self.adaptive = AdaptiveLoss(table)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 1e-3)


def main(root, epochs=10, nth=1):
    """Train by the multimodal loss, then as long by the adaptive one with the posteriors of the first."""
    digits = find("avdigits")(Path(root), find("avdigits").Options())
    samples = [s for s in digits.samples if s.split == "train"][::nth]
    labels = [digits.classes.index(s.label) for s in samples]
    wave = [torch.from_numpy(digits.load(s, "audio")) / 32768 for s in samples]
    picture = [torch.from_numpy(digits.load(s, "visual")) / 255 for s in samples]
    data = list(zip([s.sample_id for s in samples], labels, wave, picture, strict=True))
    model = TwoBranches(len(digits.classes))
    recorder = RecorderCallback("recorded", digits.classes, table="curate.duckdb", every=epochs, after=model.use)
    quiet = {"logger": False, "enable_checkpointing": False}
    trainer = pl.Trainer(accelerator="cpu", max_epochs=2 * epochs, callbacks=[recorder], **quiet)
    trainer.fit(model, DataLoader(data, batch_size=64, shuffle=True))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:])) if sys.argv[1:] else sys.exit(__doc__)
