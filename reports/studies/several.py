"""Every method on several data sets of features, each tuned alike, and mean ranks over all of them.

    python reports/studies/several.py FSDD_FOLDER [WORK_FOLDER] [--emoji FOLDER] [--watch FOLDER] [--seeds 3] [--tune 3]

digits: the upper and the lower half of scikit-learn's handwritten digits, 32 pixels each. tumours: means, errors and
worst values of its breast cancer data, three views. bands, halves: log mel energies of the Free Spoken Digit Dataset;
its low and its high bands, labelled by digit, and the first and the second half of the time, labelled by speaker.
emoji: pictures and words of the names in the npm package emoji-datasource-twitter, unpacked in a folder, labelled by
category. watch: acceleration and rotation of a wrist, in the PyPI package seglearn, unpacked in a folder, labelled by
exercise; no person is in two splits.
Nothing is planted. Each seed redraws splits and weights; 40 % of the samples are for the test, 10 % for validation.
Stopped, it goes on where it was. The tables go to standard output, the page to WORK_FOLDER.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import wave
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torchaudio
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.feature_extraction.text import HashingVectorizer

from curate.comparison.plan import without_choice
from curate.comparison.ranks import mean_ranks
from curate.comparison.summary import ACCURACY, BETTER, WORSE, Line, summarize
from curate.store.store import Store

NAME = "several"
SEGMENTS, BANDS = 8, 32
SPOKEN = 20
"""Of the 50 recordings of each speaker and digit."""
PIXELS, WORDS = 12, 256
"""Of the sides of a picture, and of the table that words are hashed to."""
WINDOW, STEP = 200, 10
"""Measurements of a sample, 4 s, and of one mean."""
SETTINGS = ("model.encoder=mlp", "data.test_fraction=0.4", "data.val_fraction=0.1")
Views = Mapping[str, NDArray[np.floating]]


@dataclass(frozen=True)
class Data:
    """A data set: the label of each sample, the features of each view, and what must not be in two splits."""

    labels: Sequence[str]
    views: Views
    groups: Sequence[str] = ()


def made(recordings: Path) -> dict[str, Data]:
    """{data set: its samples} of scikit-learn and of the recordings."""
    digits, tumours = load_digits(), load_breast_cancer()
    files = [path for path in sorted(recordings.rglob("*.wav")) if int(path.stem.rpartition("_")[2]) < SPOKEN]
    if not files:
        sys.exit(f"no recordings in {recordings}: expected the Free Spoken Digit Dataset")
    said = np.stack([energies(path) for path in files])
    named = [path.stem.split("_") for path in files]
    return {
        "digits": Data(
            [f"digit {k}" for k in digits.target], {"upper": digits.data[:, :32], "lower": digits.data[:, 32:]}
        ),
        "tumours": Data(
            [str(tumours.target_names[k]) for k in tumours.target],
            {"mean": tumours.data[:, :10], "error": tumours.data[:, 10:20], "worst": tumours.data[:, 20:]},
        ),
        "bands": Data([f"digit {name[0]}" for name in named], {"low": said[:, :, :16], "high": said[:, :, 16:]}),
        "halves": Data([name[1] for name in named], {"first": said[:, :4], "second": said[:, 4:]}),
    }


def emoji(package: Path) -> Data:
    """Pictures and names, but for flags, whose names say the category, and parts of others."""
    listed = json.loads((package / "emoji.json").read_text(encoding="utf-8"))
    kept = [one for one in listed if one["category"] not in ("Flags", "Component") and one["has_img_twitter"]]
    pictures = np.stack([pixels(package / "img" / "twitter" / "64" / one["image"]) for one in kept])
    words = HashingVectorizer(n_features=WORDS, alternate_sign=False, norm=None).transform(
        [one["name"] for one in kept]
    )
    return Data([one["category"] for one in kept], {"image": pictures, "text": words.toarray()})


def pixels(path: Path) -> NDArray[np.float32]:
    """(PIXELS, PIXELS, 3) mean colours of a picture on white, 0..1."""
    with Image.open(path) as opened:
        picture = opened.convert("RGBA")
    white = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return np.asarray(white.resize((PIXELS, PIXELS), Image.Resampling.BOX), dtype=np.float32) / 255


def watch(folder: Path) -> Data:
    """Stretches of 4 s; means of each fifth of a second."""
    sys.path.insert(0, str(folder))
    from seglearn.datasets import load_watch

    found = load_watch()
    cut = [x[: len(x) // WINDOW * WINDOW].reshape(-1, WINDOW // STEP, STEP, 6).mean(axis=2) for x in found["X"]]
    of = np.repeat(np.arange(len(cut)), [len(windows) for windows in cut])
    values = np.concatenate(cut)
    return Data(
        [found["y_labels"][found["y"][k]] for k in of],
        {"acceleration": values[..., :3], "rotation": values[..., 3:]},
        [f"person {found['subject'][k]}" for k in of],
    )


def energies(path: Path) -> NDArray[np.float32]:
    """(SEGMENTS, BANDS) mean log mel energies of a recording of 16 bits, in stretches of equal length."""
    with wave.open(str(path)) as file:
        rate, samples = file.getframerate(), np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16)
    mel = torchaudio.transforms.MelSpectrogram(rate, n_fft=256, hop_length=64, n_mels=BANDS)
    power = mel(torch.from_numpy(samples.astype(np.float32) / 2**15))
    parts = torch.tensor_split(torch.log(power + 1e-6), SEGMENTS, dim=1)
    return np.stack([part.mean(dim=1).numpy() for part in parts])


def write(folder: Path, data: Data) -> None:
    """Write a folder of features as `curate score --features` reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = {"label": data.labels, **({"group": data.groups} if data.groups else {})}
    rows = [",".join([f"s{i:04}", *values]) for i, values in enumerate(zip(*columns.values(), strict=True))]
    head = ",".join(["sample_id", *columns])
    (folder / "samples.csv").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    for view, values in data.views.items():
        np.save(folder / f"{view}.npy", values.reshape(len(values), -1).astype(np.float32))


def main() -> None:
    """Make the data, compare on each, and print the tables and the ranks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fsdd", type=Path)
    parser.add_argument("work", type=Path, nargs="?", default=Path(NAME))
    parser.add_argument("--emoji", type=Path, help="An unpacked npm package.")
    parser.add_argument("--watch", type=Path, help="A folder with an unpacked PyPI package.")
    parser.add_argument("--seeds", default="3")
    parser.add_argument("--tune", default="3")
    parser.add_argument("--only", nargs="*", help="Of the data sets.")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    options = parser.parse_args()
    table = options.work / "curate.duckdb"
    settings = [part for setting in (*SETTINGS, *options.settings) for part in ("--set", setting)]
    found = made(options.fsdd)
    for name, make, place in (("emoji", emoji, options.emoji), ("watch", watch, options.watch)):
        if place is not None:
            found[name] = make(place)
    for name, data in found.items():
        if options.only and name not in options.only:
            continue
        write(options.work / name, data)
        curate(
            *("compare", "--db", str(table), "--name", NAME, "--quiet", "--redraw"),
            *("--dataset", f"features.{name}", "--root", str(options.work / name)),
            *("--method", "all", "--seeds", options.seeds, "--tune", options.tune, *settings),
            *("-o", str(options.work / f"{NAME}.html"), "-o", str(options.work / f"{NAME}.csv")),
            out=sys.stderr,
        )
    show(Store(table))


def show(store: Store) -> None:
    """Print the mean ranks, and the accuracy of every row on every data set."""
    cells = store.comparisons.find(NAME)
    lines, ranks = summarize(cells), mean_ranks(cells)
    datasets = list(dict.fromkeys(line.dataset for line in lines))
    found: dict[str, dict[str, str]] = {}
    for line in lines:
        found.setdefault(without_choice(line.label), {})[line.dataset] = told(line)
    order = {label: place for place, label in enumerate(ranks.labels if ranks else ())}
    if ranks:
        print(
            f"Critical difference of mean ranks: {ranks.critical:.1f}, {ranks.blocks} blocks; were all equal, ranks so"
        )
        print(f"unequal would come with probability {ranks.chance:.1e}.\n")
    print(
        f"| row | mean rank | {' | '.join(d.partition('.')[2] for d in datasets)} |\n{'| --- ' * (2 + len(datasets))}|"
    )
    for label in sorted(found, key=lambda label: order.get(label, len(order))):
        rank = f"{ranks.values[order[label]]:.1f}" if ranks and label in order else ""
        print(f"| {label} | {rank} | {' | '.join(found[label].get(d, '') for d in datasets)} |")


def told(line: Line) -> str:
    """Accuracy, %, the difference to the warm-up continued, in points, and whether it is beyond the seeds' spread."""
    accuracy = line.values.get(ACCURACY)
    if accuracy is None:
        return "no result"
    against = "" if line.continued is None else f", {100 * line.continued.mean:+.1f}"
    return f"{100 * accuracy.mean:.1f}{against}" + (f" {line.verdict}" if line.verdict in (BETTER, WORSE) else "")


def curate(*arguments: str, out: object) -> None:
    """Run a command; exit code 3 = done, but a row could not be run, and its remark says why."""
    done = subprocess.run([sys.executable, "-m", "curate", *arguments], stdout=out)
    if done.returncode not in (0, 3):
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()
