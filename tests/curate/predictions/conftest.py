"""Small predictions written in every format, for the tests of this room.

Letters: N samples, K classes.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import pytest

FORMATS = ("parquet", "csv", "npz", "jsonl")


@dataclass
class Content:
    """What is written: ids, label names, classes, {modality: (N, K)}, and splits and epochs where there are any."""

    sample_ids: Sequence[str]
    labels: Sequence[str]
    classes: Sequence[str]
    values: Mapping[str, np.ndarray]
    splits: Sequence[str] | None = None
    epochs: Sequence[int] | None = None
    extra: dict[str, Sequence[str]] = field(default_factory=dict)

    def rows(self, order: Sequence[int]) -> Content:
        """The same in another order of rows."""

        def pick(column: Sequence | None) -> list | None:
            return None if column is None else [column[i] for i in order]

        values = {m: v[list(order)] for m, v in self.values.items()}
        keys = (pick(self.splits), pick(self.epochs))
        return Content(pick(self.sample_ids), pick(self.labels), self.classes, values, *keys)

    def columns(self, order: Sequence[int]) -> Content:
        """The same in another order of classes."""
        values = {m: v[:, list(order)] for m, v in self.values.items()}
        classes = [self.classes[k] for k in order]
        return Content(self.sample_ids, self.labels, classes, values, self.splits, self.epochs)


def make(n: int = 24, k: int = 3, seed: int = 0, modalities: Sequence[str] = ("audio", "visual")) -> Content:
    """Logits in which the second modality knows nothing of every fourth sample; ids ascending."""
    rng = np.random.default_rng(seed)
    classes = [f"class.{chr(97 + c)}" for c in range(k)]
    strength = {m: np.where((np.arange(n) % 4 == 3) & (j == 1), 0, 4) for j, m in enumerate(modalities)}
    values = {m: s[:, None] * np.eye(k)[np.arange(n) % k] + rng.standard_normal((n, k)) for m, s in strength.items()}
    return Content([f"s{i:03d}" for i in range(n)], [classes[i % k] for i in range(n)], classes, values)


def write(content: Content, path: Path) -> Path:
    """One file, in the format of its suffix."""
    keys = {"sample_id": content.sample_ids, "label": content.labels}
    keys |= {k: v for k, v in (("split", content.splits), ("epoch", content.epochs)) if v is not None} | content.extra
    numbers = {f"{m}.{c}": v[:, j] for m, v in content.values.items() for j, c in enumerate(content.classes)}
    if path.suffix == ".npz":
        np.savez(path, classes=np.array(content.classes), **{k: np.array(v) for k, v in keys.items()}, **content.values)
    elif path.suffix == ".jsonl":
        lines = []
        for i in range(len(content.sample_ids)):
            row = {k: v[i] for k, v in keys.items()}
            row |= {m: dict(zip(content.classes, map(float, v[i]), strict=True)) for m, v in content.values.items()}
            lines.append(json.dumps(row))
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    elif path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            out = csv.writer(file)
            out.writerow([*keys, *numbers])
            table = [*keys.values(), *([repr(float(x)) for x in v] for v in numbers.values())]
            out.writerows(zip(*table, strict=True))
    else:
        arrays = {k: np.array(v, dtype=None if k == "epoch" else object) for k, v in keys.items()} | numbers
        with duckdb.connect() as con:
            con.register("incoming", {k: np.ascontiguousarray(v) for k, v in arrays.items()})
            con.execute(f"COPY (SELECT * FROM incoming) TO '{path}' (FORMAT parquet)")
    return path


class Saved:
    """The writers above, as one fixture: tests cannot import their neighbours."""

    formats = FORMATS
    content = Content
    make = staticmethod(make)
    write = staticmethod(write)


@pytest.fixture(scope="session")
def saved() -> type[Saved]:
    """`.make(n, k, seed, modalities)` gives predictions, `.write(content, path)` a file."""
    return Saved


@pytest.fixture
def write_lines(tmp_path: Path) -> Callable[..., str]:
    """Writes objects as JSON lines in `tmp_path`; the path as a string."""

    def write(name: str, *rows: object) -> str:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return str(path)

    return write
