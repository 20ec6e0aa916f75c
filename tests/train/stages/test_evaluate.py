"""What `evaluate` writes of a run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from curate.datasets import Dataset
from curate.predictions.embeddings import read_embeddings
from curate.train.data.samples import Samples
from curate.train.stages import setup
from curate.train.stages.evaluate import evaluate, write_features
from curate.types import Sample


def test_features_of_a_split_are_written_as_embeddings_are_read(scored, work, tmp_path) -> None:
    for split in ("train", "val"):
        paths = write_features(work, scored, split, tmp_path / split)
        assert paths[0].name == "features.npz" and len(paths) == 1 + 3 * len(scored.modalities)
        with np.load(paths[0]) as archive:
            ids = archive["sample_id"]
            found = read_embeddings([str(paths[0])], scored.modalities, ids)
            assert all((found[m] == archive[m]).all() and archive[m].std() > 0 for m in scored.modalities)
        table = pd.read_csv(tmp_path / split / "map-audio.csv").set_index("sample_id")["p_imbalanced"]
        assert sorted(table.index) == sorted(ids)
    known = work.store.rounds.read(scored.run_id)
    seen = pd.read_csv(tmp_path / "train" / "map-audio.csv").set_index("sample_id")["p_imbalanced"]
    np.testing.assert_allclose(seen.loc[known.sample_ids], 1 - known.balanced)
    assert table.isna().all(), "no sample of the validation split is scored"


def test_what_a_split_loses_is_counted(scored, work, monkeypatch) -> None:
    told: list[str] = []
    work = replace(work, message=told.append)
    evaluate(work, scored, "val")
    whole = told.pop()
    count = int(whole.removeprefix("val: ").split()[0])
    assert whole == f"val: {count} samples"
    split_samples = setup.split_samples

    def without_two(*asked: object) -> Samples:
        found = split_samples(*asked)
        return found.subset(np.arange(len(found)) > 1)

    monkeypatch.setattr(setup, "split_samples", without_two)
    evaluate(work, scored, "val")
    assert told[-1].startswith(f"val: {count - 2} samples of {count}; 2 are left out, 2 with a medium that is not ")
    assert "curate sql" in told[-1]

    complete: list[Sample] = []

    def of_which_one_has_no_label(dataset: Dataset, *asked: object) -> Samples:
        complete[:] = complete or dataset.samples
        monkeypatch.setattr(dataset, "samples", list(complete))
        found = without_two(dataset, *asked)
        place = next(i for i, sample in enumerate(complete) if sample.split == "val")
        dataset.samples[place] = replace(complete[place], label="")
        return found

    monkeypatch.setattr(setup, "split_samples", of_which_one_has_no_label)
    evaluate(work, scored, "val")
    assert "2 are left out, 1 without a label, 1 with a medium that is not usable: " in told[-1]


def test_training_samples_that_were_scored_out_of_fold_are_said_to_be_known_to_this_model(scored, work) -> None:
    told: list[str] = []
    work = replace(work, message=told.append)
    folded = replace(scored, config={**scored.config, "decided": {"folds": 2}})
    for run, split, known in ((folded, "train", True), (folded, "val", False), (scored, "train", False)):
        evaluate(work, run, split)
        assert ("which this model was trained on" in told.pop()) == known
