"""What is found of damaged texts that are paired with pictures.

    python reports/studies/texts.py FORTUNES [WORK_FOLDER] [--dictionary FILE] [--seeds 1,2]

FORTUNES: files of short texts, those of the Debian package `fortunes`; five of them are the classes. `--dictionary`:
the Free On-line Dictionary of Computing, `foldoc.dict.dz` of the package `dict-foldoc`; six of its subjects are the
classes. Each text is paired with the picture of a handwritten digit, a digit a class. A share of the texts is damaged,
and all are scored by `curate score` with 20 epochs and its usual settings. A scored world stays in the work folder.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from curate.scores.metrics import auroc
from curate.store.store import Store

Rng = np.random.Generator
FORTUNES = ("computers", "law", "men-women", "songs-poems", "startrek")
SUBJECTS = ("hardware", "language", "mathematics", "networking", "operating system", "person")
ENTRY = re.compile(r"<([a-z ]+)(?:, [a-z ]+)*> ((?:.+\n)+(?:\n   (?:.+\n)+)*)")
COUNT, TRAINED, EPOCHS, WORDS = 1000, 0.75, 20, 60
NOTICES = (
    "This content is not available in your region. Please try again later.",
    "Sign in to read on. Your subscription has ended.",
)
SYLLABLES = ("ka", "lo", "mi", "ri", "ru", "sha", "no", "ve")
HEAD = "| texts | world | seed | read | planted | AUROC | claimed of these | of the others | rare of these | said |"


def cut(text: str, rng: Rng) -> str:
    """The first eighth of its words."""
    words = text.split()
    return " ".join(words[: max(1, len(words) // 8)])


def garbled(text: str, rng: Rng) -> str:
    """Every second letter is another sign, as of a wrong encoding."""
    return "".join(chr(rng.integers(0xC0, 0x17F)) if c != " " and rng.random() < 0.5 else c for c in text)


def foreign(text: str, rng: Rng) -> str:
    """As many words that mean nothing."""
    return " ".join("".join(rng.choice(SYLLABLES, rng.integers(1, 4))) for _ in text.split())


def notice(text: str, rng: Rng) -> str:
    """What a page shows in place of its text."""
    return NOTICES[rng.integers(len(NOTICES))]


def respelt(text: str, rng: Rng) -> str:
    """Every word spelt backwards, always the same way. No damage."""
    return " ".join(word[::-1] for word in text.split())


KINDS: dict[str, tuple[Callable[[str, Rng], str], float]] = {
    "cut": (cut, 0.12),
    "garbled": (garbled, 0.12),
    "foreign": (foreign, 0.12),
    "notices": (notice, 0.06),
    "respelt": (respelt, 0.06),
}
WORLDS = ("nothing", *KINDS)


def fortunes(folder: Path) -> dict[str, list[str]]:
    """{class: texts} of files in which lines of a percent sign separate them."""
    return {name: folder.joinpath(name).read_text(errors="replace").split("\n%\n") for name in FORTUNES}


def entries(file: Path) -> dict[str, list[str]]:
    """{subject: explanations}, the first named subject of each, up to the date of its last change."""
    found: dict[str, list[str]] = {name: [] for name in SUBJECTS}
    for subject, text in ENTRY.findall(gzip.decompress(file.read_bytes()).decode(errors="replace")):
        if subject in found:
            found[subject].append(re.sub(r"\(\d{4}-\d\d-\d\d\)[^$]*|[{}]", "", text))
    return found


def made(texts: dict[str, list[str]], world: str, seed: int, folder: Path) -> dict[str, bool]:
    """A manifest with its pictures in a folder, and {id: whether its text was changed}."""
    rng, digits = np.random.default_rng(seed), load_digits()
    rows = []
    for number, (name, own) in enumerate(texts.items()):
        own = [" ".join(t.split()[:WORDS]) for t in own if len(t.split()) > 2]
        images = digits.images[digits.target == number]
        rows += [
            (own[i], name, images[rng.integers(len(images))]) for i in rng.permutation(len(own))[: COUNT // len(texts)]
        ]
    rows = [rows[i] for i in rng.permutation(len(rows))]
    change, share = KINDS.get(world, (cut, 0.0))
    changed = rng.permutation(len(rows)) < round(share * len(rows))
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "m.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["sample_id", "label", "split", "text", "visual"])
        for i, (text, name, image) in enumerate(rows):
            Image.fromarray(np.kron(image * 15.9, np.ones((4, 4))).astype(np.uint8)).save(folder / f"{i:04}.png")
            split = "train" if i < TRAINED * len(rows) else "val"
            lines.writerow([f"s{i:04}", name, split, change(text, rng) if changed[i] else text, f"{i:04}.png"])
    return {f"s{i:04}": bool(was) for i, was in enumerate(changed)}


def row(name: str, texts: dict[str, list[str]], world: str, seed: int, folder: Path) -> str:
    """One line: what the table says of the texts of a world."""
    truth = made(texts, world, seed, folder)
    db, scored = folder / "table.duckdb", folder / "scored"
    if not scored.exists():
        options = ["--set", "model.encoder=small_cnn", "--set", "data.size=32", "--set", f"data.tokens={WORDS}"]
        command = [sys.executable, "-m", "curate", "score", "--dataset", "manifest", "--root", str(folder / "m.csv")]
        command += ["--db", str(db), "--seed", str(seed), "--epochs", str(EPOCHS), *options]
        subprocess.run(command, check=True, capture_output=True)
        scored.touch()
    store = Store(db)
    frame = store.frame("SELECT * FROM samples WHERE imbalance IS NOT NULL ORDER BY sample_id")
    planted = frame["sample_id"].map(truth).to_numpy(dtype=bool)
    claimed = frame["broken"].fillna("").str.contains("text").to_numpy()
    rare = frame["rare"].fillna("").str.contains("text").to_numpy()
    ((read,),) = store.rows("SELECT held_out_accuracy FROM by_modality WHERE modality = 'text'")
    ((said,),) = store.rows("SELECT verdict FROM guard WHERE modality = 'text'")
    cells = [f"{read:.2f}", str(planted.sum())]
    if planted.any():
        cells += [f"{auroc(1 - frame['usability_text'].to_numpy(), planted):.2f}", str((claimed & planted).sum())]
    else:
        cells += ["", ""]
    cells += [f"{claimed[~planted].mean():.1%}", str((rare & planted).sum()) if rare.any() else "", said.split(": ")[0]]
    return f"| {name} | {world} | {seed} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fortunes", type=Path)
    parser.add_argument("work", type=Path, nargs="?", default=Path("texts"))
    parser.add_argument("--dictionary", type=Path)
    parser.add_argument("--seeds", default="1,2")
    parser.add_argument("--worlds", default=",".join(WORLDS))
    options = parser.parse_args()
    data = {"fortunes": fortunes(options.fortunes)}
    if options.dictionary:
        data["dictionary"] = entries(options.dictionary)
    print(HEAD, "|---" * 10 + "|", sep="\n", flush=True)
    for name, texts in data.items():
        for seed in map(int, options.seeds.split(",")):
            for world in options.worlds.split(","):
                print(row(name, texts, world, seed, options.work / f"{name}-{world}-{seed}"), flush=True)


if __name__ == "__main__":
    main()
