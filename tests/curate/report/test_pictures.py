"""The report's pictures without its page."""

from __future__ import annotations

import numpy as np

from curate.report.media import Medium, png_uri, wav_uri
from curate.report.pictures import gallery


def test_the_gallery_has_a_column_for_each_sample_and_a_cell_for_each_modality() -> None:
    tone = (np.sin(np.arange(4000)) * 9000).astype(np.int16)
    sound = Medium("audio", "audio", wav_uri(tone, 8000))
    silence = Medium("audio", "audio", wav_uri(np.zeros(4000, dtype=np.int16), 8000))
    picture = Medium("visual", "visual", png_uri(np.zeros((4, 5, 3), dtype=np.uint8)))
    text = Medium("visual", "text", "costs $5, or $6" * 20)
    shown = {f"s{i}<b>$x$": [sound, picture] for i in range(6)} | {"quiet": [silence, text], "half": [sound]}
    figure = gallery(shown, ("audio", "visual"))
    assert len(figure.axes) == 2 * 2 * 6
    drawn = [bool(axes.images) for axes in figure.axes]
    assert drawn == [True] * 12 + [True, True, *[False] * 4] + [False] * 6
    assert len(figure.axes[18].texts) == 1
    figure.canvas.draw()
