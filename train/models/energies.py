"""The Kaldi filter bank of a batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchaudio.compliance import kaldi


class KaldiEnergies(nn.Module):
    """Log mel energies as `torchaudio.compliance.kaldi.fbank` with a Hann window and neither dither nor energy.

    Args:
        rate: samples per second, Hz.
        size: samples of a frame.
        bands: of the filter bank, from 20 Hz to half the rate.
    """

    PREEMPHASIS = 0.97
    window: Tensor
    mel: Tensor

    def __init__(self, rate: int, size: int, bands: int) -> None:
        super().__init__()
        self.size = size
        self.fft = 1 << (size - 1).bit_length()
        banks, _ = kaldi.get_mel_banks(bands, self.fft, rate, 20.0, 0.0, 100.0, -500.0, 1.0)
        self.register_buffer("mel", nn.functional.pad(banks, (0, 1)), persistent=False)  # weight 0 at half the rate
        self.register_buffer("window", torch.hann_window(size, periodic=False), persistent=False)

    def log_energies(self, frames: Tensor) -> Tensor:
        """Frames (B, frames, samples) to log mel energies (B, bands, frames)."""
        frames = frames - frames.mean(-1, keepdim=True)
        before = torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)
        power = torch.fft.rfft((frames - self.PREEMPHASIS * before) * self.window, n=self.fft).abs().square()
        floor = torch.finfo(torch.float32).eps
        return torch.log((power @ self.mel.mT).clamp(min=floor)).mT
