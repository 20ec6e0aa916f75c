"""What `evaluate` writes of a run."""

from __future__ import annotations

import numpy as np
import pandas as pd

from curate.predictions.embeddings import read_embeddings
from curate.train.stages.evaluate import write_features


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
