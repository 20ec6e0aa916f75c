"""Pictures in tiles are put together; files by the avifenc program, relabelled so that only the tiles are decoded."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from curate.errors import MediaError
from curate.media import read_frames
from curate.media.tiles import read_grid

SIDE = 128
PICTURE = np.kron(np.random.default_rng(0).integers(0, 255, (4, 6, 3)), np.ones((SIDE // 2, SIDE // 2, 1))).astype(
    np.uint8
)


def tiled(folder, grid, *more):
    program = shutil.which("avifenc")
    if program is None:
        pytest.skip("the avifenc program is not installed")
    Image.fromarray(PICTURE).save(folder / "a.png")
    command = [program, "--grid", grid, "-y", "444", "--min", "0", "--max", "4", *more, "a.png", "a.avif"]
    if subprocess.run(command, cwd=folder, capture_output=True).returncode:
        pytest.skip("this avifenc cannot")
    content = (folder / "a.avif").read_bytes()
    end = int.from_bytes(content[:4], "big")
    head = content[:end].replace(b"avif", b"heic").replace(b"avis", b"hevc")
    (folder / "a.heic").write_bytes(head + content[end:])
    return folder / "a.heic"


@pytest.mark.parametrize(
    ("more", "shown"),
    [
        ((), PICTURE),
        (("--irot", "1"), np.rot90(PICTURE, 1)),
        (("--irot", "3"), np.rot90(PICTURE, 3)),
        (("--imir", "0"), PICTURE[::-1]),
        (("--imir", "1"), PICTURE[:, ::-1]),
    ],
)
def test_the_whole_picture_is_shown_not_one_tile(tmp_path, more, shown):
    path = tiled(tmp_path, "3x2", *more)
    found = read_frames(path, 1)[0]
    assert found.shape == shown.shape and np.abs(found.astype(int) - shown).mean() < 4
    assert (read_frames(tmp_path / "a.avif", 1)[0].shape) == shown.shape


def test_damage_is_refused_or_read_but_never_half_a_picture(tmp_path):
    path = tiled(tmp_path, "3x2")
    content = path.read_bytes()
    rng = np.random.default_rng(1)
    for cut in (0.3, 0.6, 0.95):
        path.write_bytes(content[: int(len(content) * cut)])
        with pytest.raises(MediaError):
            read_frames(path, 1)
    for _ in range(40):
        changed = bytearray(content)
        changed[rng.integers(12, 700)] ^= 1 << int(rng.integers(0, 8))
        path.write_bytes(changed)
        try:
            assert read_frames(path, 1).ndim == 4
        except MediaError as error:
            assert error.reason


def test_a_file_without_tiles_has_no_grid(tmp_path, media):
    assert read_grid(media.video(tmp_path / "a.mp4", media.staircase(3))) is None
    assert read_grid(media.picture(tmp_path / "a.png", PICTURE)) is None
