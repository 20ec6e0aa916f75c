"""Write clips with known damage: WAV files of telephone tones, PNG files of handwritten digits, and clips.csv.

python examples/damaged_clips.py FOLDER [COUNT]

A fifth of the pictures and a twentieth of the sounds are destroyed. `damaged.csv` says which: look at it last.
"""

import csv
import sys
import wave
from pathlib import Path

from PIL import Image

from curate.datasets import find


def main(folder, count=900):
    """Files of the first samples of each split of the built-in data set."""
    digits = find("demo")(None, find("demo").Options())
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    share = count / len(digits.samples)
    with (folder / "clips.csv").open("w", newline="") as clips, (folder / "damaged.csv").open("w", newline="") as known:
        rows, planted = csv.writer(clips), csv.writer(known)
        rows.writerow(["sample_id", "label", "split", "audio", "image"])
        planted.writerow(["sample_id", "damaged"])
        for split in ("train", "val", "test"):
            own = [s for s in digits.samples if s.split == split]
            for sample in own[: max(1, round(share * len(own)))]:
                name, spec = sample.sample_id, digits.specs["audio"]
                with wave.open(str(folder / f"{name}.wav"), "wb") as sound:
                    sound.setparams((1, 2, spec.rate, 0, "NONE", ""))
                    sound.writeframes(digits.load(sample, "audio").astype("<i2").tobytes())
                picture = digits.load(sample, "visual")[0]
                Image.fromarray(picture.squeeze()).save(folder / f"{name}.png")
                rows.writerow([name, f"digit {sample.label}", split, f"{name}.wav", f"{name}.png"])
                planted.writerow([name, sample.planted.replace("visual", "image")])


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
