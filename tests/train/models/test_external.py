"""Encoders of other libraries against these libraries: tiny ones, offline."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchaudio
from torch import nn
from torchvision import models

from curate.errors import CurateError
from curate.media.text import make_tokenizer
from curate.specs import AudioSpec, ClipSpec, InputSpec, TextSpec, VisualSpec
from curate.train.data.augment import shifted
from curate.train.data.samples import Batch, BatchTransform
from curate.train.models.external.description import Description, network_specs
from curate.train.models.external.names import assign, describe, make, reading, start
from curate.train.models.external.stem import adapt_stem
from curate.train.models.model import FusionModel, ModelConfig

SOUND = AudioSpec(rate=16000, seconds=0.25, n_fft=256, hop=128, n_mels=16)
PICTURE = VisualSpec(frames=2, size=32, augment="none")
pytestmark = pytest.mark.usefixtures("offline")


def started(name: str, spec: InputSpec, weights: str = "") -> tuple[nn.Module, list[str]]:
    """The encoder of a name in evaluation, with its weights, and what was said of them."""
    description = describe(name).settled(spec)
    encoder = make(description, network_specs({"m": spec}, {"m": description})["m"])
    return encoder, start(encoder.eval(), spec, weights)


def seen(spec: InputSpec, rows: np.ndarray) -> torch.Tensor:
    """Stored rows as a network receives them."""
    batch = Batch(np.arange(len(rows)).astype(str), {"m": torch.from_numpy(rows)}, torch.zeros(len(rows)).long())
    return BatchTransform({"m": spec}).eval()(batch).inputs["m"]


def pictures(count: int = 3, spec: VisualSpec = PICTURE) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *spec.shape), dtype=np.uint8)


def waves(spec: AudioSpec = SOUND) -> np.ndarray:
    return np.random.default_rng(0).integers(-9000, 9000, (3, *spec.shape)).astype(np.int16)


@torch.no_grad()
def test_a_network_of_timm_gets_what_timm_would_give_it(timm: Any, folders: Path) -> None:
    encoder, lines = started(f"timm:{folders / 'timm'}", PICTURE)
    own = timm.create_model(f"local-dir:{folders / 'timm'}", pretrained=True, num_classes=0, img_size=32).eval()
    config = timm.data.resolve_model_data_config(own)
    rows = pictures()
    plain = (torch.from_numpy(rows).movedim(-1, 2) / 255 - torch.tensor(config["mean"])[:, None, None]) / torch.tensor(
        config["std"]
    )[:, None, None]
    torch.testing.assert_close(encoder(seen(PICTURE, rows)), own(plain.flatten(0, 1)).unflatten(0, (3, 2)).mean(1))
    assert encoder.dim == own.num_features and "left over: head." in "; ".join(lines)


@torch.no_grad()
def test_a_hugging_face_picture_goes_through_its_own_processor(transformers: Any, folders: Path) -> None:
    spec = replace(PICTURE, frames=1)
    encoder, lines = started(f"hf:{folders / 'vit'}", spec)
    rows = pictures(spec=spec)
    given = transformers.AutoImageProcessor.from_pretrained(folders / "vit")(list(rows[:, 0]), return_tensors="pt")
    whole = transformers.ViTForImageClassification.from_pretrained(folders / "vit").eval()
    expected = whole.vit(**given).last_hidden_state[:, 0]
    torch.testing.assert_close(encoder(seen(spec, rows)), expected, atol=1e-5, rtol=1e-4)
    assert "left over: classifier.bias, classifier.weight" in lines


@torch.no_grad()
@pytest.mark.parametrize("kind", ["ast", "wav"])
@pytest.mark.parametrize("rate", [16000, 8000])
def test_sound_goes_through_the_models_own_extractor(transformers: Any, folders: Path, kind: str, rate: int) -> None:
    spec = replace(SOUND, rate=rate)
    encoder, _ = started(f"hf:{folders / kind}", spec)
    rows = waves(spec=spec)
    wave = torchaudio.functional.resample(torch.from_numpy(rows).float() / 32767, rate, 16000)
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folders / kind)
    given = extractor(list(wave.numpy()), sampling_rate=16000, return_tensors="pt")
    own = transformers.AutoModel.from_pretrained(folders / kind).eval()(**given)
    expected = own.pooler_output if kind == "ast" else own.last_hidden_state.mean(1)
    got = encoder(seen(replace(spec, features="waveform"), rows))
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4)
    said = reading(encoder.description, spec)
    assert any("resampled from 8000" in line for line in said) == (rate == 8000)


@torch.no_grad()
def test_a_text_is_the_mean_of_its_tokens(transformers: Any, folders: Path) -> None:
    tokenizer = make_tokenizer(str(folders / "bert"), [])
    spec = tokenizer.spec(tokens=8)
    encoder, lines = started(f"hf:{folders / 'bert'}", spec)
    texts = ["this is a digit", "two", "a a a a a a a a a a a"]
    own = transformers.AutoTokenizer.from_pretrained(folders / "bert")
    net = transformers.AutoModel.from_pretrained(folders / "bert").eval()
    rows = np.stack([tokenizer.load(text, spec) for text in texts])
    for text, got in zip(texts, encoder(seen(spec, rows)), strict=True):
        given = own(text, truncation=True, max_length=8, return_tensors="pt")
        torch.testing.assert_close(got, net(**given).last_hidden_state[0].mean(0), atol=1e-5, rtol=1e-4)
    assert any("cls.predictions" in line for line in lines)
    with pytest.raises(CurateError, match="its own tokens"):
        make(encoder.description, TextSpec(tokens=8, vocabulary=9))


SMALL = "shufflenet_v2_x0_5"


@torch.no_grad()
def test_a_network_of_torchvision_starts_from_a_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net, spec = models.get_model(SMALL).eval(), replace(PICTURE, frames=1, size=64)
    torch.save(net.state_dict(), tmp_path / "r.pth")
    encoder, lines = started(f"torchvision:{SMALL}", spec, str(tmp_path / "r.pth"))
    net.fc, x = nn.Identity(), seen(spec, pictures(2, spec))
    wide = nn.functional.interpolate(x[:, 0], (224, 224), mode="bilinear", antialias=True)
    torch.testing.assert_close(encoder(x), net(wide), atol=1e-5, rtol=1e-4)
    assert lines == [f"{len(net.state_dict())} tensors of {tmp_path / 'r.pth'}", "left over: fc.bias, fc.weight"]
    assert reading(encoder.description, spec) == ["its input of 64x64 is resized to 224x224"]


@torch.no_grad()
def test_one_channel_is_a_grey_picture_in_three() -> None:
    torch.manual_seed(0)
    net, x = models.get_model(SMALL).eval(), torch.randn(2, 1, 32, 32)
    before = net(x.expand(-1, 3, -1, -1))
    assert "the sum of the weights" in adapt_stem(net, 1)
    torch.testing.assert_close(net(x), before, atol=1e-5, rtol=1e-4)
    six, x = nn.Conv2d(3, 2, 1), torch.randn(1, 3, 4, 4)
    before = six(x)
    assert "times 3/6" in adapt_stem(six, 6) and adapt_stem(six, 6) == ""
    torch.testing.assert_close(six(x.repeat(1, 2, 1, 1)), before)


def test_weights_of_three_channels_start_a_stem_of_one(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net, name = models.get_model(SMALL), f"torchvision:{SMALL}"
    first, key = net.conv1[0].weight.detach(), "conv1.0.weight"
    torch.save(net.state_dict(), tmp_path / "r.pth")
    encoder, lines = started(name, SOUND, str(tmp_path / "r.pth"))
    torch.testing.assert_close(encoder.net.conv1[0].weight, first.sum(1, keepdim=True))
    assert "its stem for 3 channels reads 1: the sum of the weights" in lines
    torch.save({**net.state_dict(), key: first[:, :1]}, tmp_path / "grey.pth")
    encoder, _ = started(name, SOUND, str(tmp_path / "grey.pth"))
    assert torch.equal(encoder.net.conv1[0].weight, first[:, :1]), "weights of one channel are used as they are"


OWN = """
import torch
from torch import nn
{input}
def build({spec}):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(2.0))
        def forward(self, x):
            return self.scale * x.flatten(1)[:, :5]{shape}
    return Net()
def number():
    return 3
"""


def test_a_network_from_a_users_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(OWN.format(input="", spec="spec", shape=""))
    encoder, lines = started(f"module:{file}:build", SOUND)
    x = seen(SOUND, waves())
    assert encoder.dim == 5 and torch.equal(encoder(x), 2 * x.flatten(1)[:, :5])
    assert lines == ["weights as build returned them"]
    torch.save({"scale": torch.tensor(7.0)}, tmp_path / "w.pt")
    encoder, _ = started(f"module:{file}:build", SOUND, str(tmp_path / "w.pt"))
    assert encoder.net.scale == 7
    file.write_text(OWN.format(input="INPUT = {'rate': 4000}", spec="", shape=""))
    encoder, _ = started(f"module:{file}:build", SOUND)
    raw = torchaudio.functional.resample(torch.from_numpy(waves()).float() / 32767, 16000, 4000)
    torch.testing.assert_close(encoder(seen(replace(SOUND, features="waveform"), waves())), 2 * raw[:, :5])
    file.write_text(OWN.format(input="INPUT = {'size': 8, 'mean': [0.0] * 3, 'std': [1.0] * 3}", spec="", shape=""))
    encoder, _ = started(f"module:{file}:build", PICTURE)
    assert encoder.description.size == (8, 8) and encoder.description.fixed
    white = np.full((1, *PICTURE.shape), 255, np.uint8)
    torch.testing.assert_close(encoder(seen(PICTURE, white)), torch.full((1, 5), 2.0))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("mine.py:biuld", "'build'"),
        ("none.py:build", "there is no file"),
        ("mine.py:number", "returned int"),
        ("flat.py:build", "expected features|gives"),
        ("broken.py:build", "cannot be run: ZeroDivisionError"),
        ("wrong.py:build", "'size'"),
    ],
)
def test_what_is_wrong_with_a_users_file(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / "mine.py").write_text(OWN.format(input="", spec="", shape=""))
    (tmp_path / "flat.py").write_text(OWN.format(input="", spec="", shape=".sum()"))
    (tmp_path / "broken.py").write_text("1 / 0")
    (tmp_path / "wrong.py").write_text(OWN.format(input="INPUT = {'sise': 8}", spec="", shape=""))
    with pytest.raises(CurateError) as error:
        started(f"module:{tmp_path / name}", SOUND)
    assert any(part in f"{error.value.message} {error.value.hint}" for part in told.split("|"))


def test_networks_of_clips_need_frames() -> None:
    with pytest.raises(CurateError, match="cannot read m"):
        assign("m=torchvision:r3d_18", {"m": SOUND})
    clip = ClipSpec(frames=4, size=16, window=4, crop=16)
    encoder = make(describe("torchvision:r3d_18").settled(clip), clip).eval()
    with torch.no_grad():
        x = torch.randn(2, 4, 3, 16, 16)
        prepared = (x * encoder.scale + encoder.shift).transpose(1, 2)
        torch.testing.assert_close(encoder(x), encoder.net.net(prepared))
        assert not torch.allclose(encoder(x), encoder(x.flip(1)), atol=1e-6), "time has a direction"


def test_weights_that_cannot_be_had_are_an_error_and_random_ones_a_wish(timm: Any, folders: Path) -> None:
    for name in ("timm:test_resnet", f"torchvision:{SMALL}"):
        with pytest.raises(CurateError, match="cannot be had") as error:
            started(name, PICTURE)
        assert "=random" in error.value.hint
        encoder, lines = started(name, PICTURE, "random")
        assert lines == ["random weights, as model.weights says"]
        assert len(encoder.early) == 2 * name.endswith("resnet")


def test_weights_of_another_architecture_are_refused(timm: Any, folders: Path, tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(4, 4))
    torch.save(net.state_dict(), tmp_path / "other.pth")
    with pytest.raises(CurateError, match=r"tensors expected, 0 are among the 4 found; conv1\.0\.weight is missing"):
        started(f"torchvision:{SMALL}", PICTURE, str(tmp_path / "other.pth"))
    with pytest.raises(CurateError, match="does not fit timm:"):
        started(f"timm:{folders / 'timm'}", PICTURE, str(folders / "vit"))
    for kind in ("bert", "ast"):
        with pytest.raises(CurateError, match=r"missing are|no weights that fit"):
            started(f"hf:{folders / 'vit'}", PICTURE, str(folders / kind))


def test_a_missing_tensor_is_not_replaced_by_a_random_one(transformers: Any, folders: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folders / "vit" / "model.safetensors")
    gone = next(k for k in tensors if k.endswith("query.weight") or k.endswith("q_proj.weight"))
    for file in ("config.json", "preprocessor_config.json"):
        (tmp_path / file).write_bytes((folders / "vit" / file).read_bytes())
    save_file({k: v for k, v in tensors.items() if k != gone}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(CurateError, match=r"missing are .*(query|q_proj)\.weight"):
        started(f"hf:{tmp_path}", PICTURE)


def test_a_model_is_made_again_without_any_file(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From its description, as plain values: what a checkpoint needs."""
    found = {"audio": describe(f"hf:{folders / 'ast'}"), "visual": describe(f"timm:{folders / 'timm'}")}
    specs = network_specs({"audio": SOUND, "visual": PICTURE}, found)
    config = ModelConfig(encoder=f"audio={found['audio'].name},visual={found['visual'].name}")
    first = FusionModel(specs, ["a", "b"], config, described=found)
    first.load_weights()
    again = {m: Description(**{**d.as_json(), "source": "/nowhere"}) for m, d in first.described.items()}
    second = FusionModel(specs, ["a", "b"], config, described=again)
    second.load_state_dict(first.state_dict())
    x = {"audio": torch.randn(2, 4000), "visual": torch.randn(2, 2, 3, 32, 32)}
    with torch.no_grad():
        torch.testing.assert_close(first.eval()(x).fused, second.eval()(x).fused)


@torch.no_grad()
def test_a_hugging_face_model_starts_from_other_weights_of_its_architecture(
    transformers: Any, folders: Path, tmp_path: Path
) -> None:
    torch.manual_seed(7)
    config = transformers.AutoConfig.from_pretrained(folders / "vit")
    other = transformers.ViTForImageClassification(config)
    other.save_pretrained(tmp_path / "other")
    torch.save(other.state_dict(), tmp_path / "other.pth")
    x = seen(PICTURE, pictures())
    first, _ = started(f"hf:{folders / 'vit'}", PICTURE)
    by_folder, lines = started(f"hf:{folders / 'vit'}", PICTURE, str(tmp_path / "other"))
    by_file, _ = started(f"hf:{folders / 'vit'}", PICTURE, str(tmp_path / "other.pth"))
    alone, _ = started(f"hf:{tmp_path / 'other'}", PICTURE)
    assert str(tmp_path / "other" / "model.safetensors") in lines[0]
    assert not torch.allclose(first(x), alone(x))
    # The other folder has no image processor: it normalises as for ImageNet.
    assert any("no image processor" in note for note in alone.description.notes)
    given = x[:, 0]
    torch.testing.assert_close(by_file.net(given), alone.net(given))
    torch.testing.assert_close(by_folder.net(given), alone.net(given))


@torch.no_grad()
def test_a_part_of_a_model_of_two_modalities(transformers: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.CLIPConfig(
        text_config={**small, "vocab_size": 9, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0},
        vision_config={**small, "image_size": 32, "patch_size": 16},
    )
    whole = transformers.CLIPModel(config).eval()
    whole.save_pretrained(tmp_path)
    with pytest.raises(CurateError, match="several modalities") as error:
        describe(f"hf:{tmp_path}")
    assert f"hf:{tmp_path}#" in error.value.hint
    encoder, _ = started(f"hf:{tmp_path}#vision_model", PICTURE)
    given = seen(PICTURE, pictures())[:, 0]
    torch.testing.assert_close(encoder.net(given), whole.vision_model(given).pooler_output)


def test_a_waveform_is_augmented_in_time_alone() -> None:
    x = seen(replace(SOUND, features="waveform"), waves())
    torch.manual_seed(0)
    moved = shifted(x, SOUND)
    assert moved.shape == x.shape and not torch.equal(moved, x)
    for before, after in zip(x, moved, strict=True):
        assert any(torch.equal(before.roll(step), after) for step in range(-400, 401))
