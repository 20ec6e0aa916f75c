from __future__ import annotations

import dataclasses
import os
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from curate.datasets.avdigits import AvDigits, babble_bank
from curate.datasets.degrade import digit_scans
from curate.errors import CurateError, MediaError
from curate.media import read_audio

REPOSITORY = Path(__file__).resolve().parents[3]
BESIDE = REPOSITORY.parent / "shared" / "data"


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The real recordings."""
    root = Path(os.environ.get("CURATE_TEST_DATA", BESIDE)) / "free-spoken-digit-dataset"
    if not root.is_dir():
        pytest.skip(f"the Free Spoken Digit Dataset is not at {root}")
    return root


@pytest.fixture(scope="session")
def small(tmp_path_factory, media) -> Path:
    """A partial copy in the layout of the recordings: 3 digits, 2 speakers, takes 3-6 and 9-14."""
    root = tmp_path_factory.mktemp("fsdd")
    (root / "recordings").mkdir()
    for digit in (0, 3, 7):
        for speaker in ("ann", "bob"):
            for take in (3, 4, 5, 6, 9, *range(10, 15)):
                wave = media.tone(200 + 100 * digit + take, 0.3 + 0.01 * take, rate=8000)
                media.audio(root / "recordings" / f"{digit}_{speaker}_{take}.wav", wave, rate=8000)
    (root / "recordings" / "notes.txt").write_text("not a recording")
    return root


def make(root: Path, **options) -> AvDigits:
    return AvDigits(root, AvDigits.Options(**options))


def by_split(data):
    return {split: [s for s in data.samples if s.split == split] for split in ("train", "val", "test")}


def assert_sound(data: AvDigits) -> None:
    """What holds for every copy: disjoint splits, right pairs, unique ids."""
    digits = digit_scans()[1]
    assert len({s.sample_id for s in data.samples}) == len(data.samples)
    for modality in data.modalities:
        sources = [{s.inputs[modality] for s in samples} for samples in by_split(data).values()]
        assert sum(map(len, sources)) == len(set().union(*sources))
    for s in data.samples:
        take = int(s.inputs["audio"].removesuffix(".wav").split("_")[-1])
        assert s.split == ("test" if take < 5 else "val" if take < 10 else "train")
        assert Path(s.inputs["audio"]).name[0] == s.label == str(digits[int(s.inputs["visual"].split("/")[1])])


def test_all_recordings_give_the_documented_sizes(recordings):
    data = make(recordings, degrade=True)
    assert_sound(data)
    splits = by_split(data)
    assert {split: len(found) for split, found in splits.items()} == {"train": 2400, "val": 300, "test": 1617}
    assert len({s.inputs["visual"] for s in splits["train"]}) == 1078
    assert set(Counter(s.inputs["visual"] for s in splits["test"]).values()) == {3}
    assert len({s.inputs["visual"] for s in splits["test"]}) == 539
    assert len({s.inputs["audio"] for s in splits["train"]}) == 2400
    assert "train-3_theo_13" in {s.sample_id for s in data.samples}
    for found in splits.values():
        assert sum("audio" in s.planted for s in found) == round(0.12 * len(found))
        assert sum("visual" in s.planted for s in found) == round(0.35 * len(found))


def test_a_real_recording_survives_as_it_is(recordings):
    data = make(recordings)
    sample = next(s for s in data.samples if s.sample_id == "train-3_theo_13")
    loaded = data.load(sample, "audio") / 32767
    wave = read_audio(recordings / "recordings" / "3_theo_13.wav", 8000)
    assert np.abs(loaded[: len(wave)] - wave[:8000]).max() < 1e-4 and not loaded[len(wave) :].any()


def test_a_partial_copy_works(small):
    data = make(small)
    assert_sound(data)
    splits = by_split(data)
    assert len(splits["train"]) == 3 * 2 * 5 and len(splits["val"]) == 3 * 2 * 3
    assert {s.label for s in data.samples} == {"0", "3", "7"} and data.classes == tuple("0123456789")
    assert {s.planted for s in data.samples} == {""}
    assert make(small / "recordings").samples[0].inputs["audio"] == data.samples[0].inputs["audio"].split("/")[1]


def test_loading_depends_on_seed_and_sample_alone(small):
    first, again = make(small, degrade=True), pickle.loads(pickle.dumps(make(small, degrade=True)))
    other = make(small, degrade=True, seed=1)
    assert first.samples == again.samples != other.samples
    for modality, spec in first.specs.items():
        values = first.load(first.samples[4], modality)
        assert values.shape == spec.shape and values.dtype == spec.dtype
        babble_bank.cache_clear()
        assert (again.load(again.samples[4], modality) == values).all()
        assert (other.load(first.samples[4], modality) != values).any()


def test_planted_damage_is_heavier_than_base_noise(small):
    data, clean = make(small, degrade=True), make(small)
    for modality in data.modalities:
        likeness = {"": [], modality: []}
        for sample in data.samples[:40]:
            truth = clean.load(dataclasses.replace(sample, planted=""), modality).ravel().astype(float)
            for planted, found in likeness.items():
                loaded = data.load(dataclasses.replace(sample, planted=planted), modality).ravel()
                found.append(abs(np.corrcoef(truth, loaded)[0, 1]))
        assert np.mean(likeness[modality]) < 0.6 * np.mean(likeness[""])


def test_babble_leaves_out_the_recording_itself_and_broken_ones(small, tmp_path):
    data = make(small, degrade=True)
    (tmp_path / "broken.wav").write_bytes(b"x")
    bank = babble_bank((*data._bank, tmp_path / "broken.wav"))
    assert [path for path, _ in bank] == list(data._bank)
    assert all("/recordings/" in path.as_posix() and int(path.stem.split("_")[-1]) >= 10 for path in data._bank)


def test_a_changed_recording_is_another_data_set(small, tmp_path, media):
    import shutil

    copy = shutil.copytree(small, tmp_path / "copy")
    before = make(copy).data_id()
    assert before == make(copy).data_id() != make(copy, degrade=True).data_id()
    media.audio(copy / "recordings" / "0_ann_10.wav", media.tone(900, 0.8, rate=8000), rate=8000)
    assert make(copy).data_id() != before


def test_a_bad_recording_is_a_status(small, tmp_path):
    import shutil

    copy = shutil.copytree(small, tmp_path / "copy")
    data = make(copy)
    path = copy / data.samples[0].inputs["audio"]
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(MediaError, match="lfs_pointer"):
        data.load(data.samples[0], "audio")
    path.unlink()
    with pytest.raises(MediaError, match="missing"):
        data.load(data.samples[0], "audio")


def test_no_recordings_is_a_clear_error(tmp_path, small):
    with pytest.raises(CurateError, match="train, val, test") as caught:
        make(tmp_path)
    assert "recordings/{digit}_{speaker}_{take}.wav" in caught.value.hint
    with pytest.raises(CurateError, match="no --root"):
        AvDigits(None, AvDigits.Options())
    with pytest.raises(CurateError, match="does not exist"):
        make(tmp_path / "nowhere")


def test_swapped_media_are_of_another_class_and_say_so(small):
    data, plain = make(small, swapped_visual=0.5, swapped_audio=0.2), make(small)
    digits = digit_scans()[1]
    for found in by_split(data).values():
        assert sum("visual" in s.extra.get("swapped", "") for s in found) == round(0.5 * len(found))
        assert sum("audio" in s.extra.get("swapped", "") for s in found) == round(0.2 * len(found))
    for sample, before in zip(data.samples, plain.samples, strict=True):
        swapped = str(sample.extra.get("swapped", "")).split("+")
        assert (sample.sample_id, sample.label) == (before.sample_id, before.label)
        shown = str(digits[int(sample.inputs["visual"].split("/")[1])])
        spoken = Path(sample.inputs["audio"]).name[0]
        assert (shown != sample.label) == ("visual" in swapped) and (spoken != sample.label) == ("audio" in swapped)


def test_harmless_changes_keep_what_is_said(small):
    data, plain = make(small, harmless_visual=1.0, harmless_audio=1.0), make(small)
    for sample, before in zip(data.samples[:20], plain.samples[:20], strict=True):
        picture, scan = (d.load(s, "visual").ravel().astype(float) for d, s in ((data, sample), (plain, before)))
        assert np.corrcoef(picture, scan)[0, 1] > 0.999 and picture.std() < 0.85 * scan.std()
        heard, said = (d.load(s, "audio").astype(float) for d, s in ((data, sample), (plain, before)))
        assert heard.std() == pytest.approx(said.std(), rel=0.01) and not np.array_equal(heard, said)


def test_damage_can_be_tied_to_one_class(small):
    data = make(small, degrade=True, degraded_class="3", degraded_visual=0.5, degraded_audio=0.0)
    for found in by_split(data).values():
        of_class = [s for s in found if s.label == "3"]
        assert sum(s.planted == "visual" for s in of_class) == round(0.5 * len(of_class))
        assert {s.planted for s in found if s.label != "3"} == {""}
    with pytest.raises(CurateError, match="degraded_class"):
        make(small, degraded_class="three")


def test_a_second_voice_says_the_same_digit(small):
    data, plain = make(small, second_voice=True, degrade=True, degraded_voice=0.5), make(small, degrade=True)
    assert data.modalities == ("audio", "visual", "voice")
    for sample, before in zip(data.samples, plain.samples, strict=True):
        first, second = (Path(sample.inputs[m]).name for m in ("audio", "voice"))
        assert second[0] == sample.label and second != first
        assert {m: sample.inputs[m] for m in plain.modalities} == before.inputs
        assert [m for m in sample.planted.split("+") if m != "voice"] == before.planted.split("+") or (
            (before.planted, sample.planted) == ("", "voice")
        )
    for found in by_split(data).values():
        assert sum("voice" in s.planted for s in found) == round(0.5 * len(found))
    splits = [{s.inputs["voice"] for s in found} for found in by_split(data).values()]
    assert sum(map(len, splits)) == len(set().union(*splits))
    assert data.load(data.samples[0], "voice").shape == data.load(data.samples[0], "audio").shape


def test_fewer_training_samples_are_a_random_part_of_them(small):
    few, all_of_them = by_split(make(small, train_samples=7)), by_split(make(small))
    assert len(few["train"]) == 7 and {s.sample_id for s in few["train"]} < {s.sample_id for s in all_of_them["train"]}
    assert few["val"] == all_of_them["val"] and few["test"] == all_of_them["test"]
    with pytest.raises(CurateError, match="train_samples"):
        make(small, train_samples=-1)
    other = by_split(make(small, train_samples=7, seed=1))
    assert [s.sample_id for s in other["train"]] != [s.sample_id for s in few["train"]]


def test_weaker_base_noise_is_weaker(small):
    clean, weak, strong = make(small), make(small, degrade=True, noise="clean"), make(small, degrade=True)
    off = {
        name: np.mean(
            [
                np.abs(d.load(s, "visual") - clean.load(s, "visual").astype(float)).mean()
                for s in d.samples
                if not s.planted
            ]
        )
        for name, d in (("weak", weak), ("strong", strong))
    }
    assert off["weak"] < 0.5 * off["strong"]
