"""Measure the files of a data set, and choose settings that neither enlarge nor cut much of them.

A few dozen files of each modality are examined, the same ones each time; of sound and video only the headers are read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from curate.errors import MediaError, UnansweredError, counted
from curate.files.remote import UNREACHABLE, Remote
from curate.files.unanswered import Unanswered, place_of
from curate.media import Probe, probe
from curate.media.files import at_hand
from curate.media.source import Segment
from curate.specs import AudioSpec, VisualSpec

LOOKED_AT = 48  # files of a modality
LONGEST = 10.0  # s of sound kept at most, unless data.seconds is set
SMALLEST = 16  # pixels
WINDOW, HOP = AudioSpec.n_fft / AudioSpec.rate, AudioSpec.hop / AudioSpec.rate  # s

Source = tuple[Path, Segment | None]


@dataclass
class Measured:
    """The settings that were measured.

    Attributes:
        settings: {setting: value} for all that could be measured.
        shown: {description of what was found: the settings chosen for it}.
        lost: files that were to be measured and were not answered.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    shown: dict[str, tuple[str, ...]] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)

    def notes(self, wanted: Sequence[str]) -> tuple[str, ...]:
        """A sentence for each finding that determined some of the wanted settings."""
        chosen = {seen: [n for n in names if n in wanted] for seen, names in self.shown.items()}
        told = tuple(
            f"{seen}: {', '.join(f'data.{n}={self.settings[n]}' for n in names)} was chosen; another by --set"
            for seen, names in chosen.items()
            if names
        )
        if not self.lost:
            return told
        return (
            *told,
            f"{counted(len(self.lost), 'file was', 'files were')} "
            f"not answered, and not measured, the last: {self.lost[-1]}",
        )


def measure(sounds: Sequence[Source], pictures: Sequence[Source]) -> Measured:
    """Settings for the files of the sound columns and of all others; files that cannot be read are ignored.

    Raises:
        UnansweredError: several in a row, or all that could be measured, are on a machine that does not answer.
    """
    found, lost = Measured(), Unanswered()
    _measure_sound(_look(sounds, lost, found), found)
    _measure_pictures(_look(pictures, lost, found), found)
    return found


def spread_out(sources: Sequence[Source]) -> list[Source]:
    """At most `LOOKED_AT` of the files, evenly spaced in the list."""
    if len(sources) <= LOOKED_AT:
        return list(sources)
    return [sources[int(i * len(sources) / LOOKED_AT)] for i in range(LOOKED_AT)]


def _look(sources: Sequence[Source], lost: Unanswered, measured: Measured) -> list[tuple[Probe, float]]:
    """(probe, length in s) of the files that can be read; the length is that of the stretch, if one is given.

    Those that are not answered are tried once more after all others: settings must not depend on a short failure.
    """
    found: list[tuple[Probe, float]] = []
    left, reason = _probe_all(spread_out(sources), lost, found)
    left, reason = _probe_all(left, Unanswered(), found) if left else ([], "")
    if left and not found:
        raise UnansweredError(
            f"{place_of(str(left[-1][0]))} does not answer, so no settings can be measured: {reason}",
            "once it answers, give the same command again; or give data.rate, data.seconds and others by --set",
        )
    measured.lost += [str(path) for path, _ in left]
    return found


def _probe_all(
    sources: Sequence[Source], lost: Unanswered, found: list[tuple[Probe, float]]
) -> tuple[list[Source], str]:
    """Add what is found; the sources that were not answered, and why the last of them was not."""
    left, reason = list[Source](), ""
    for path, segment in sources:
        try:
            with at_hand(path) as file:
                seen = probe(file)
        except MediaError as error:
            if error.status == UNREACHABLE:
                left, reason = [*left, (path, segment)], error.reason
                lost.add(str(path), reason)
            continue
        if isinstance(path, Remote):
            lost.answered(str(path))
        end = seen.seconds if segment is None else min(segment.end, seen.seconds or segment.end)
        found.append((seen, max(end - (segment.start if segment else 0.0), 0.0)))
    return left, reason


def _measure_sound(looked: Sequence[tuple[Probe, float]], found: Measured) -> None:
    rates = [seen.rate for seen, _ in looked if seen.rate]
    lengths = [length for seen, length in looked if seen.rate and length > 0]
    if not rates or not lengths:
        return
    rate = min(int(median(rates)), AudioSpec.rate)
    seconds = min(float(np.quantile(lengths, 0.95, method="higher")), LONGEST)
    seconds = max(round(seconds, 2), 0.01)
    window = 2 ** max(round(math.log2(WINDOW * rate)), 3)
    while window > 8 and window > rate * seconds / 2:
        window //= 2
    found.settings |= {"rate": rate, "seconds": seconds, "n_fft": window, "hop": max(round(HOP * rate), 1)}
    found.shown[f"sound is of {_span(rates)} Hz and {_span(lengths)} s"] = ("rate", "seconds", "n_fft", "hop")


def _measure_pictures(looked: Sequence[tuple[Probe, float]], found: Measured) -> None:
    seen = [one for one, _ in looked if one.width]
    if not seen:
        return
    sides = [math.sqrt(one.width * one.height) for one in seen]
    size = max(min(round(median(sides)), VisualSpec.size), SMALLEST)
    frames = min(VisualSpec.frames, max(one.frames for one in seen))
    found.settings |= {"size": size, "frames": frames}
    kind = "pictures" if frames == 1 else "videos"
    wide = _span([round(side) for side in sides])
    found.shown[f"{kind} are about {wide} pixels wide and high"] = ("size", "frames")
    deep = [one for one in seen if one.values is not None]
    if deep:
        low = min(one.values[0] for one in deep if one.values)
        high = max(one.values[1] for one in deep if one.values)
        own = max(one.own[1] for one in deep if one.own)
        if high > low and (low < 0 or high > own or high < own / 2):
            low, high = 0.0 - _rounded_up(-low), _rounded_up(high)
            found.settings["depth_range"] = f"{low:g},{high:g}"
            found.shown[f"pictures of more than 8 bits hold values up to {high:g}"] = ("depth_range",)


def _rounded_up(value: float) -> float:
    """A positive value rounded up to two significant digits; 0 of any other."""
    if value <= 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(value / unit - 1e-9) * unit


def _span(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:.6g}" if f"{low:.3g}" == f"{high:.3g}" else f"{low:.3g} to {high:.3g}"


def fallback() -> Mapping[str, Any]:
    """The settings that are used where nothing could be measured."""
    return {
        "rate": AudioSpec.rate,
        "seconds": AudioSpec.seconds,
        "n_fft": AudioSpec.n_fft,
        "hop": AudioSpec.hop,
        "frames": VisualSpec.frames,
        "size": VisualSpec.size,
        "depth_range": "",
    }
