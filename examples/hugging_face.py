"""Hugging Face Trainer: a callback records and scores, and the adaptive loss comes back as `compute_loss_func`.

python examples/hugging_face.py FREE_SPOKEN_DIGIT_DATASET [EPOCHS [EVERY_NTH_SAMPLE]]
"""

import sys
from pathlib import Path

import torch
from torch import nn
from transformers import Trainer, TrainingArguments

import curate
from curate.datasets import find
from curate.torch import AdaptiveLoss, multimodal_cross_entropy
from curate.transformers import RecorderCallback


class TwoBranches(nn.Module):
    """A small network with a head on each branch; their sum is the fusion."""

    def __init__(self, classes):
        super().__init__()
        self.audio, self.visual = nn.Linear(50, classes), nn.Sequential(nn.Flatten(), nn.Linear(32 * 32, classes))

    def forward(self, wave, picture, labels=None):
        audio = self.audio(torch.fft.rfft(wave).abs()[:, 1:].unflatten(1, (50, -1)).mean(dim=2).log1p())
        visual = self.visual(picture)
        logits = {"audio": audio, "visual": visual}
        loss = {} if labels is None else {"loss": multimodal_cross_entropy(logits, audio + visual, labels)}
        return {**loss, **logits, "logits": audio + visual}


def main(root, epochs=10, nth=1):
    """Train by the multimodal loss, then as long by the adaptive one with the posteriors of the first."""
    digits = find("avdigits")(Path(root), find("avdigits").Options())
    samples = [s for s in digits.samples if s.split == "train"][::nth]
    labels = [digits.classes.index(s.label) for s in samples]
    wave = [torch.from_numpy(digits.load(s, "audio")) / 32768 for s in samples]
    picture = [torch.from_numpy(digits.load(s, "visual")) / 255 for s in samples]
    names = ("sample_ids", "labels", "wave", "picture")  # a row stands for the id: the usual collator wants numbers
    data = [dict(zip(names, (i, *item), strict=True)) for i, item in enumerate(zip(labels, wave, picture, strict=True))]

    def record(inputs, outputs):
        ids = [samples[row].sample_id for row in inputs["sample_ids"].tolist()]
        logits = {m: outputs[m] for m in ("audio", "visual")}
        return {"sample_ids": ids, "labels": inputs["labels"], "logits": logits, "fused": outputs["logits"]}

    model, usual = TwoBranches(len(digits.classes)), {"use_cpu": True, "report_to": [], "save_strategy": "no"}
    usual |= {"remove_unused_columns": False, "label_names": ["labels"], "num_train_epochs": epochs}
    first = RecorderCallback("recorded", digits.classes, record, table="curate.duckdb")
    arguments = TrainingArguments("out", per_device_train_batch_size=64, learning_rate=1e-3, **usual)
    Trainer(model, arguments, train_dataset=data, callbacks=[first]).train()
    then = RecorderCallback("recorded_then", digits.classes, record)
    loss = then.loss(AdaptiveLoss(curate.open("curate.duckdb")))
    Trainer(model, arguments, train_dataset=data, callbacks=[then], compute_loss_func=loss).train()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:])) if sys.argv[1:] else sys.exit(__doc__)
