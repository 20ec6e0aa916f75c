"""Decode media files to NumPy arrays: pictures, frames and waveforms, by PyAV, whose wheel contains FFmpeg, and Pillow.

Any problem with a file raises a `MediaError` with a status; no file is dropped silently. PyAV and Pillow are imported
when first needed, because listing the data sets does not need them.

Letters: F frames, H height, W width, in pixels.
"""

from .container import declared_seconds
from .files import DECODING, USUAL, Limits, check_file, stamp
from .fit import fit_frames, fit_waveform, resize
from .folder import read_folder
from .load import Decoded, decode_media, decode_medium, load_medium, read_frames, read_range
from .probe import Probe, probe
from .sound import read_audio
from .stretch import Window, choose_stretch
from .video import frames_between

FACTS = {
    "container": "what the file is",
    "codec": "how it is compressed",
    "duration": "by its header, s",
    "rate": "of the file: samples (Hz) or frames a second",
    "channels": "of the recording, before they were mixed to one",
    "bits": "of a sample of a recording without loss, or of a channel of a picture that has more than 8",
    "begins": "when the track begins, s from the beginning of the file",
    "seconds": "from and to when sound was taken; when each frame came on screen, s from the beginning of the file",
    "moments": "when each frame was asked for, s",
    "filled": "silence where the track has no sound, s",
    "filled_frames": "how many moments lie where the track has no picture, and got its first or last",
    "repeated": "how much was filled up by repetition, s",
    "padded": "how much was filled up by zeros at the end, s",
    "peak": "largest amplitude of the mix, 1 = full scale",
    "gain": "what a recording beyond full scale was multiplied by",
    "clipped": "share of values beyond the scale, which were clipped",
    "size": "width and height as stored, pixels",
    "orientation": "how it was turned or mirrored to be shown, 2 to 8 as in EXIF",
    "mode": "how a picture is stored, by Pillow's name",
    "pixel_format": "how a frame is stored, by FFmpeg's name",
    "depth_range": "which values became black and white",
    "not_finite": "share of NaN and infinite values, which became black",
    "transparent": "was laid on white",
}
"""What is stored about each medium beside its status; a fact that does not apply is absent."""

__all__ = [
    "DECODING",
    "FACTS",
    "USUAL",
    "Decoded",
    "Limits",
    "Probe",
    "Window",
    "check_file",
    "choose_stretch",
    "declared_seconds",
    "decode_media",
    "decode_medium",
    "fit_frames",
    "fit_waveform",
    "frames_between",
    "load_medium",
    "probe",
    "read_audio",
    "read_folder",
    "read_frames",
    "read_range",
    "resize",
    "stamp",
]
