"""A thousand clips of which one in twenty is broken, in every way: counted, named, and every good one scored once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

N, SECONDS = 1003, 0.25  # a prime divides by no batch or worker count
SETTINGS = {
    "data.rate": 8000,
    "data.seconds": SECONDS,
    "data.n_fft": 256,
    "data.hop": 128,
    "data.n_mels": 16,
    "data.size": 16,
    "data.frames": 1,
    "data.augment": "none",
    "optim.batch_size": 64,
}


def break_clip(kind: str, folder: Path, number: int, replica) -> tuple[str, str]:
    """The paths of a clip that ends with this status."""
    audio, visual = f"{number}.wav", f"{number}.jpg"
    sound = folder / audio
    if kind == "missing":
        sound.unlink()
    elif kind == "empty":
        sound.write_bytes(b"")
    elif kind == "lfs_pointer":
        sound.write_bytes(replica.pointer(number))
    elif kind == "undecodable":
        (folder / visual).write_bytes((folder / visual).read_bytes()[:200])
    elif kind == "no_audio":
        audio = visual
    elif kind == "no_video":
        visual = audio
    elif kind == "silent":
        replica.media.audio(sound, np.zeros(2000, np.float32))
    elif kind == "too_short":
        replica.media.audio(sound, replica.media.tone(440, 0.005))
    elif kind == "truncated":
        replica.media.audio(sound, replica.media.tone(440, 1.0))
        sound.write_bytes(sound.read_bytes()[:4000])
    elif kind == "empty_event":
        audio += "#t=0,0"
    return audio, visual


KINDS = (
    "missing empty lfs_pointer undecodable no_audio no_video silent too_short truncated empty_event".split()  # noqa: SIM905
)


@pytest.fixture
def thousand(tmp_path, replica):
    """The manifest, and {sample id: status} of the broken ones."""
    folder = tmp_path / "clips"
    folder.mkdir()
    rng, rows, broken = np.random.default_rng(0), ["sample_id,label,split,audio,visual"], {}
    for i in range(N):
        wave = replica.media.tone(300 * 2 ** (i % 3), SECONDS) + 0.01 * rng.standard_normal(4000).astype(np.float32)
        replica.media.audio(folder / f"{i}.wav", wave)
        replica.media.picture(folder / f"{i}.jpg", rng.integers(0, 255, (16, 16, 3)).astype(np.uint8))
        paths = f"{i}.wav", f"{i}.jpg"
        if i % 20 == 7:
            kind = KINDS[i // 20 % len(KINDS)]
            broken[f"c{i:04}"] = kind
            paths = break_clip(kind, folder, i, replica)
        split = "val" if i % 10 == 3 else "test" if i % 10 == 8 else "train"
        cells = [f'"{path}"' for path in paths]
        rows.append(f"c{i:04},{'abc'[i % 3]},{split},{','.join(cells)}")
    (folder / "clips.csv").write_text("\n".join(rows) + "\n")
    return folder / "clips.csv", broken


@pytest.mark.long
@pytest.mark.slow
def test_a_thousand_clips_with_fifty_broken(thousand, curate):
    manifest, broken = thousand
    assert len(broken) == 50 and set(broken.values()) == set(KINDS)
    settings = [word for k, v in SETTINGS.items() for word in ("--set", f"{k}={v}")]
    code, _, err = curate("score", "--dataset", "manifest", "--root", manifest, "--epochs", 1, "-q", *settings)
    assert code == 3
    assert all(f"5 {kind}" in err for kind in KINDS)
    _, out, _ = curate("sql", "SELECT sample_id, status, reason FROM failures", "--format", "jsonl")
    failures = [json.loads(line) for line in out.splitlines()]
    assert {f["sample_id"]: f["status"] for f in failures} == broken and all(f["reason"] for f in failures)
    query = "SELECT sample_id, count(*) AS n FROM gap GROUP BY 1"
    scored = {
        row["sample_id"]: row["n"] for row in map(json.loads, curate("sql", query, "--format", "jsonl")[1].splitlines())
    }
    good = {f"c{i:04}" for i in range(N) if i % 10 not in (3, 8)} - set(broken)
    assert scored == dict.fromkeys(good, 1)
    assert curate("prepare", "--dataset", "manifest", "--root", manifest, *settings[:-2])[0] == 3
    shutil.rmtree(manifest.parent)
