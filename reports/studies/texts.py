"""What is found of damaged texts, by a small reader in place of `score`'s.

    python reports/studies/texts.py FORTUNES FOLDOC [--seeds 11,12]

FORTUNES: the folder of the Debian package `fortunes`; five of its files are the classes. FOLDOC: the Free On-line
Dictionary of Computing, `foldoc.dict.dz` of the package `dict-foldoc`; six of its subjects are the classes. A share of
the texts is damaged. The reader has a vector a word, their mean, and a layer; 20 epochs by Adam, in sample or out of
five folds. What is judged, and by what, is as in `score`.
"""

from __future__ import annotations

import argparse
import gzip
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from curate.media.text import Words
from curate.scores.guard import DEEP, Labels
from curate.scores.metrics import auroc
from curate.scores.usability import Evidence, assess
from curate.train.stages.appearance import looks, patterns

Rng = np.random.Generator
FORTUNES = ("computers", "law", "men-women", "songs-poems", "startrek")
SUBJECTS = ("hardware", "language", "mathematics", "networking", "operating system", "person")
ENTRY = re.compile(r"<([a-z ]+)(?:, [a-z ]+)*> ((?:.+\n)+(?:\n   (?:.+\n)+)*)")
DATE = re.compile(r"\(\d{4}-\d\d-\d\d\)[^$]*|[{}]")
COUNT, TRAINED, EPOCHS, WORDS = 1000, 0.75, 20, 120
NOTICES = (
    "This content is not available in your region. Please try again later.",
    "Sign in to read on. Your subscription has ended.",
)
SYLLABLES = ("ka", "lo", "mi", "ri", "ru", "sha", "no", "ve")
HEAD = (
    "| texts | world | seed | out of fold | read | AUROC | without looks | claimed of the planted | of the others "
    "| rare of the planted | of the others |\n" + "|---" * 11 + "|"
)


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


def letters(text: str, rng: Rng) -> str:
    """Four words of five with their letters apart, as of a bad scan."""
    return " ".join(" ".join(word) if rng.random() < 0.8 else word for word in text.split())


def respelt(text: str, rng: Rng) -> str:
    """Every word spelt backwards, always the same way. No damage."""
    return " ".join(word[::-1] for word in text.split())


def headed(text: str, rng: Rng) -> str:
    """A line above the text. No damage."""
    return f"Sent from my telephone, please excuse that it is brief: {text}"


KINDS: dict[str, tuple[Callable[[str, Rng], str], float]] = {
    "cut": (cut, 0.12),
    "garbled": (garbled, 0.12),
    "foreign": (foreign, 0.12),
    "notices": (notice, 0.06),
    "letters apart": (letters, 0.12),
    "respelt": (respelt, 0.06),
    "headed": (headed, 0.08),
}
LABELS, OTHERS = "wrong labels", "other texts"
WORLDS = ("nothing", *KINDS, LABELS, OTHERS)


def fortunes(folder: Path) -> dict[str, list[str]]:
    """{class: texts} of files in which lines of a percent sign separate them."""
    return {name: folder.joinpath(name).read_text(errors="replace").split("\n%\n") for name in FORTUNES}


def entries(file: Path) -> dict[str, list[str]]:
    """{subject: explanations}, the first named subject of each, up to the date of its last change."""
    found: dict[str, list[str]] = {name: [] for name in SUBJECTS}
    for subject, text in ENTRY.findall(gzip.decompress(file.read_bytes()).decode(errors="replace")):
        if subject in found:
            found[subject].append(DATE.sub("", text))
    return found


@dataclass(frozen=True)
class Made:
    """A world: N texts, their labels, class names, and whether each was changed; the first `trained` are trained on."""

    texts: list[str]
    labels: np.ndarray
    classes: tuple[str, ...]
    changed: np.ndarray
    trained: int


def made(data: dict[str, list[str]], world: str, seed: int) -> Made:
    """A world of a seed; a tenth is changed where labels or whole texts are others."""
    rng, names = np.random.default_rng(seed), tuple(data)
    rows = []
    for number, own in enumerate(data.values()):
        whole = [" ".join(t.split()[:WORDS]) for t in own if len(t.split()) > 2]
        rows += [(whole[i], number) for i in rng.permutation(len(whole))[: COUNT // len(names)]]
    rows = [rows[i] for i in rng.permutation(len(rows))]
    change, share = KINDS.get(world, (None, 0.1 if world in (LABELS, OTHERS) else 0.0))
    changed = rng.permutation(len(rows)) < round(share * len(rows))
    texts, labels = [text for text, _ in rows], np.array([label for _, label in rows])
    for i in np.flatnonzero(changed):
        other = (labels[i] + rng.integers(1, len(names))) % len(names)
        if change:
            texts[i] = change(texts[i], rng)
        elif world == LABELS:
            labels[i] = other
        else:
            texts[i] = " ".join(data[names[other]][rng.integers(len(data[names[other]]))].split()[:WORDS])
    return Made(texts, labels, names, changed, int(TRAINED * len(rows)))


class Reader(nn.Module):
    """A vector a word, their mean, a layer, and class logits."""

    def __init__(self, vocabulary: int, classes: int) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, 48, padding_idx=0)
        self.layer, self.head = nn.Linear(48, 64), nn.Linear(64, classes)

    def features(self, ids: torch.Tensor) -> torch.Tensor:
        """(B, L) ids to (B, 64)."""
        there = (ids > 0).unsqueeze(-1)
        return torch.relu(self.layer((self.words(ids) * there).sum(1) / there.sum(1).clamp(min=1)))

    def epochs(self, ids: torch.Tensor, labels: torch.Tensor, rows: np.ndarray, seed: int) -> Iterator[np.ndarray]:
        """Train on some rows; after each epoch the (N, K) class probabilities of all."""
        order = torch.Generator().manual_seed(seed)
        optimizer = torch.optim.Adam(self.parameters(), lr=3e-3, weight_decay=1e-4)
        for _ in range(EPOCHS):
            for batch in torch.tensor(rows)[torch.randperm(len(rows), generator=order)].split(64):
                optimizer.zero_grad()
                cross_entropy(self.head(self.features(ids[batch])), labels[batch]).backward()
                optimizer.step()
            with torch.no_grad():
                yield torch.softmax(self.head(self.features(ids)), dim=1).numpy().astype(np.float64)


def evidence(world: Made, seed: int, folds: int) -> Evidence:
    """What the texts are judged by."""
    tokenizer = Words(world.texts[: world.trained])
    spec = tokenizer.spec(WORDS)
    ids = np.stack([tokenizer.load(text, spec) for text in world.texts])
    tensor, labels, seen = torch.tensor(ids), torch.tensor(world.labels), np.arange(world.trained)
    part = np.random.default_rng(seed).permutation(world.trained) % max(folds, 1)
    own, p_true = np.arange(len(ids)), np.zeros(world.trained)
    for fold in range(folds):
        torch.manual_seed(seed)
        told = Reader(spec.vocabulary, len(world.classes)).epochs(tensor, labels, seen[part != fold], seed)
        p_true += np.mean([p[own, world.labels] for p in told], axis=0)[: world.trained] * (part == fold)
    torch.manual_seed(seed)
    reader = Reader(spec.vocabulary, len(world.classes))
    epochs = list(reader.epochs(tensor, labels, seen, seed))
    if not folds:
        p_true = np.mean([p[own, world.labels] for p in epochs], axis=0)[: world.trained]
    with torch.no_grad():
        features = reader.features(tensor).numpy().astype(np.float64)
    cache = SimpleNamespace(arrays={"text": ids})
    fit, val = (SimpleNamespace(cache=cache, rows=rows) for rows in (seen, own[world.trained :]))
    look, held = looks(fit, val, "text"), epochs[-1][world.trained :]
    assert not isinstance(look, str), look
    return Evidence(
        p_true,
        features[: world.trained],
        held[np.arange(len(held)), world.labels[world.trained :]],
        features[world.trained :],
        True,
        Labels(world.labels[: world.trained], world.labels[world.trained :], world.classes),
        patterns(fit, "text"),
        look,
        held.argmax(axis=1) == world.labels[world.trained :],
    )


def row(name: str, data: dict[str, list[str]], world: str, seed: int, folds: int) -> str:
    """One line: what is found in a world, and how it would be ranked if nothing were known of how texts look."""
    texts = made(data, world, seed)
    known, planted = evidence(texts, seed, folds), texts.changed[: texts.trained]
    ids = np.array([f"s{i:05}" for i in range(texts.trained)])
    plain = replace(known, look=None, pattern=None, unlooked=DEEP)
    found, before = (assess(ids, {"text": e}, len(texts.classes)) for e in (known, plain))
    claimed, rare = found.p_broken[:, 0] > 0.5, found.kinds["rare"][:, 0]
    ranks = [f"{auroc(1 - u.usability[:, 0], planted):.2f}" if planted.any() else "" for u in (found, before)]
    shares = [f"{mask[of].mean():.1%}" if of.any() else "" for mask in (claimed, rare) for of in (planted, ~planted)]
    read = f"{known.held_right.mean():.2f}" if known.held_right is not None else ""
    return f"| {name} | {world} | {seed} | {'yes' if folds else ''} | {read} | {' | '.join([*ranks, *shares])} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fortunes", type=Path)
    parser.add_argument("foldoc", type=Path)
    parser.add_argument("--seeds", default="11,12")
    options = parser.parse_args()
    data = {"fortunes": fortunes(options.fortunes), "dictionary": entries(options.foldoc)}
    torch.set_num_threads(1)
    print(HEAD)
    for folds in (0, 5):
        for name, texts in data.items():
            for world in WORLDS:
                for seed in map(int, options.seeds.split(",")):
                    print(row(name, texts, world, seed, folds), flush=True)


if __name__ == "__main__":
    main()
