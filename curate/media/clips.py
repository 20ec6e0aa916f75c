"""Consecutive frames of a clip, and the optical flow between them: read from files, or computed by OpenCV.

Letters: F frames, H height, W width, S side of the kept square, in pixels.
"""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curate.errors import CurateError, MediaError
from curate.specs import ClipSpec, FlowSpec

from . import check_file, frames_between, resize

Floats = NDArray[np.float32]


def load_clip(path: Path, first: int, end: int, spec: ClipSpec) -> NDArray[np.uint8]:
    """The frames [first, end) of a video as one row of the cache.

    If their number is not `spec.frames`, the range is divided into `spec.frames` equal parts and the frame at the
    centre of each is taken.

    Returns:
        `spec.shape` uint8.

    Raises:
        MediaError: as in `read_range`.
    """
    kept = spread(end - first, spec.frames)
    wanted, small = set(kept.tolist()), {}
    for place, frame in enumerate(frames_between(path, first, end)):
        if place in wanted:
            small[place] = resize(frame[None], spec.size, spec.channels)[0]
    return np.stack([small[place] for place in kept.tolist()])


def load_flow(path: Path, spec: FlowSpec) -> NDArray[np.int8]:
    """Flow from a .npy file of (F, H, W, 2) numbers, (right, down) motion in pixels of that file's own frames.

    Returns:
        `spec.shape` int8.

    Raises:
        MediaError: as in `check_file`; `undecodable`, the file contains something else.
    """
    check_file(path)
    try:
        flow = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise MediaError("undecodable", f"{path}: {error}") from error
    if flow.ndim != 4 or flow.shape[-1] != 2 or not flow.size or flow.dtype.kind not in "fiu":
        raise MediaError("undecodable", f"{path} is {flow.dtype} {flow.shape}, expected numbers (frames, H, W, 2)")
    kept = np.asarray(flow[spread(len(flow), spec.frames)], dtype=np.float32)
    if not np.isfinite(kept).all():
        raise MediaError("undecodable", f"{path} holds NaN or infinite motion")
    return keep_flow(kept, spec)


def compute_flow(path: Path, first: int, end: int, spec: FlowSpec) -> NDArray[np.int8]:
    """Dense inverse search flow (Kroeger et al., ECCV 2016; OpenCV's preset `medium`) of the frames [first, end).

    Computed on grey frames of the kept size, from each to the next; the last frame repeats the motion before it.

    Returns:
        `spec.shape` int8.

    Raises:
        MediaError: as in `read_range`; `too_short`, a single frame has no motion.
    """
    import cv2

    if end - first < 2:
        raise MediaError("too_short", f"optical flow needs two frames, {path} has {end - first}")
    grey = np.stack([resize(frame[None], spec.size, 1)[0, ..., 0] for frame in frames_between(path, first, end)])
    cv2.setNumThreads(0)  # decoding already runs in one process per core
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = np.stack([search.calc(a, b, None) for a, b in itertools.pairwise(grey)])
    moved = flow[np.minimum(spread(len(grey), spec.frames), len(flow) - 1)]
    return keep_flow(moved, spec)


def keep_flow(flow: Floats, spec: FlowSpec) -> NDArray[np.int8]:
    """Flow (F, H, W, 2) resized to (F, S, S, 2), the motion scaled by the same factors, clipped to +-`spec.limit`, as
    int8.
    """
    scale = np.array([spec.size / flow.shape[2], spec.size / flow.shape[1]], dtype=np.float32)
    if flow.shape[1:3] != (spec.size, spec.size):
        flow = _resize_flow(flow, spec.size)
    result: NDArray[np.int8] = np.round(np.clip(flow * scale / spec.limit, -1, 1) * 127).astype(np.int8)
    return result


def need_opencv(data_set: str) -> None:
    """Check that OpenCV, which computes flow, is installed, before anything is decoded.

    Raises:
        CurateError: OpenCV is not installed.
    """
    if importlib.util.find_spec("cv2") is None:
        raise CurateError(
            f"{data_set}: no optical flow is given, and computing it needs OpenCV",
            "install the extra: pip install 'curate-mm[flow]'; or leave flow out of data.modalities",
        )


def spread(have: int, want: int) -> NDArray[np.int64]:
    """(want,) positions of the centres of `want` equal parts of `have` frames; 0, 1, 2, ... if the two are equal."""
    return ((np.arange(want) + 0.5) * have / want).astype(np.int64)


def _resize_flow(flow: Floats, side: int) -> Floats:
    """Flow resized to (F, S, S, 2) by Pillow's bilinear filter, each component separately."""
    from PIL import Image

    def shrink(plane: Floats) -> Floats:
        return np.asarray(Image.fromarray(plane).resize((side, side), Image.Resampling.BILINEAR))

    return np.stack([np.stack([shrink(np.ascontiguousarray(f[..., c])) for c in (0, 1)], axis=-1) for f in flow])
