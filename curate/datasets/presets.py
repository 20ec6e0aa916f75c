"""Spectrogram settings of the literature, by name; all fields of a preset are part of a run's `data_id`."""

from __future__ import annotations

import dataclasses
from typing import Literal, get_args

from curate.specs import AudioSpec

AudioPreset = Literal["stft257x188", "stft257x1250", "spec257x299", "spec257x1004", "fbank1024x128"]

SPEC = AudioSpec(rate=16000, seconds=3.0, n_fft=512, hop=159, features="spectrogram", standardize=True)
AUDIO: dict[str, AudioSpec] = {
    # OGM-GE, AGM and ReconBoost on CREMA-D: 3 s at 22.05 kHz, magnitude, not normalised.
    "stft257x188": AudioSpec(),
    # IPRM and LFM on CREMA-D: the same, of 20 s; shorter recordings are repeated.
    "stft257x1250": AudioSpec(seconds=20.0),
    # PMR: 16 kHz, frames of 512 that overlap by 353, z-score; 3 s on CREMA-D, 10 s on AVE.
    "spec257x299": SPEC,
    "spec257x1004": dataclasses.replace(SPEC, seconds=10.0),
    # OGM-GE on Kinetics-Sounds: windows of 25 ms every 10 ms. There each file keeps its rate; here all have one.
    "fbank1024x128": AudioSpec(
        rate=16000, seconds=10.24, n_fft=400, hop=160, n_mels=128, features="fbank", columns=1024, fill="pad"
    ),
}
assert set(AUDIO) == set(get_args(AudioPreset))
