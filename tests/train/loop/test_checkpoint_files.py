"""A file that is no checkpoint is refused, whatever it does to its reader."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from curate.errors import CurateError
from curate.train.loop import checkpoint


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"sample_id,label\n1,2\n",
        b"a\n",
        b"\x80\x02",
        b"PK\x03\x04",
        bytes(range(256)),
        pickle.dumps({"format": 1}),
        pickle.dumps([1, 2]),
        "é".encode("latin-1"),
    ],
)
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "some.csv"
    path.write_bytes(content)
    with pytest.raises(CurateError, match=r"some\.csv") as refused:
        checkpoint.read(path, torch.device("cpu"))
    assert refused.value.hint


def test_what_lacks_a_part_is_refused(tmp_path):
    path = tmp_path / "a.pt"
    for content in ({"format": checkpoint.FORMAT}, {"format": checkpoint.FORMAT, "model": {}}, torch.zeros(3)):
        torch.save(content, path)
        with pytest.raises(CurateError, match="not a checkpoint of this version"):
            checkpoint.read(path, torch.device("cpu"))
    np.save(tmp_path / "b.npy", np.zeros(3))
    with pytest.raises(CurateError):
        checkpoint.read(tmp_path / "b.npy", torch.device("cpu"))
