"""Which encoder a name is, for which modality, and what it asks of the data."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from curate.errors import CurateError
from curate.specs import AudioSpec, InputSpec, TextSpec, VisualSpec
from curate.train.models.external.description import wishes
from curate.train.models.external.names import assign, describe, is_external, plain_choice

SOUND = AudioSpec(rate=16000, seconds=0.25, n_fft=256, hop=128, n_mels=16)
PICTURE = VisualSpec(frames=2, size=32, augment="none")
ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.usefixtures("offline")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("timm:resnet81", "'resnet18'"),
        ("timm:resnet18.a1_in2k", "'resnet18.a1_in1k'"),
        ("torchvision:resnet55", "'resnet50'"),
        ("torchvision:fcn_resnet50", "known"),
        ("hf:nobody/nothing", "nobody/nothing"),
        ("hf:./nothing", "folder for hf:"),
        ("tim:resnet18", "timm:NAME"),
        ("timm:", "timm:NAME"),
    ],
)
def test_a_name_that_does_not_exist_is_refused_with_the_nearest(
    timm: Any, transformers: Any, name: str, told: str
) -> None:
    with pytest.raises(CurateError) as error:
        is_external(name)
        describe(name)
    assert told in f"{error.value.message} {error.value.hint}"


def test_a_model_in_the_hubs_cache_is_named_as_the_nearest(transformers: Any, tmp_path: Path) -> None:
    (tmp_path / "hub" / "models--somebody--tiny-vit").mkdir(parents=True)
    with pytest.raises(CurateError) as error:
        describe("hf:somebody/tiny-vitt")
    assert "'somebody/tiny-vit'" in error.value.hint


@pytest.mark.parametrize(
    ("kind", "spec"), [("bert", PICTURE), ("wav", PICTURE), ("vit", TextSpec(vocabulary=9)), ("bert", SOUND)]
)
def test_an_encoder_of_another_modality_is_refused(folders: Path, kind: str, spec: InputSpec) -> None:
    with pytest.raises(CurateError, match="cannot read m"):
        assign(f"m=hf:{folders / kind}", {"m": spec})


def test_one_name_is_for_every_modality_that_it_can_read(folders: Path) -> None:
    specs = {"audio": SOUND, "visual": PICTURE, "text": TextSpec(vocabulary=9)}
    assert list(assign(f"timm:{folders / 'timm'}", specs)) == ["audio", "visual"]
    assert list(assign(f"hf:{folders / 'wav'}", specs)) == ["audio"]
    both = f"visual=timm:{folders / 'timm'}, audio=small_cnn"
    assert list(assign(both, specs)) == ["visual"] and plain_choice(both) == " audio=small_cnn"
    with pytest.raises(CurateError, match="'visuall'") as error:
        assign(f"visuall=timm:{folders / 'timm'}", specs)
    assert "did you mean 'visual'" in error.value.hint


def test_the_encoder_says_how_media_are_stored(folders: Path) -> None:
    specs = {"audio": SOUND, "visual": PICTURE, "text": TextSpec(vocabulary=9)}
    names = {"audio": f"hf:{folders / 'ast'}", "visual": f"timm:{folders / 'timm'}", "text": f"hf:{folders / 'bert'}"}
    found = {m: describe(name) for m, name in names.items()}
    assert wishes(found, specs) == {
        "rate": 16000,
        "size": 32,
        "channels": 3,
        "tokenizer": str(folders / "bert"),
        "tokens": 12,
    }
    assert wishes(found, {**specs, "audio": replace(SOUND, seconds=9.0)})["seconds"] == pytest.approx(0.32)
    assert wishes({"audio": found["visual"]}, specs) == {}, "a spectrogram is the data's own"


CACHED = """
import torch
from curate.specs import VisualSpec
from curate.train.models.external.names import describe, make, start
spec = VisualSpec(frames=1, size=32)
for name in ("timm:test_vit", "hf:me/vit"):
    description = describe(name).settled(spec)
    print(start(make(description, spec), spec, "")[0])
print(describe("hf:me/bert").tokenizer)
"""


@pytest.mark.long
def test_the_hubs_cache_is_read_without_a_network_connection(timm: Any, folders: Path, tmp_path: Path) -> None:
    timm.models.save_for_hf(timm.create_model("test_vit"), tmp_path / "vit", safe_serialization=True)
    sources = {"timm/test_vit.r160_in1k": tmp_path / "vit", "me/vit": folders / "vit", "me/bert": folders / "bert"}
    for name, source in sources.items():
        home = tmp_path / "home" / "hub" / f"models--{name.replace('/', '--')}"
        (home / "refs").mkdir(parents=True)
        (home / "refs" / "main").write_text("a" * 40)
        shutil.copytree(source, home / "snapshots" / ("a" * 40))
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", CACHED], env=env, capture_output=True, text=True, check=False)
    first, second, tokenizer = done.stdout.splitlines() or [done.stderr] * 3
    assert "timm's weights test_vit.r160_in1k" in first
    assert "tensors of me/vit" in second
    assert Path(tokenizer) == tmp_path / "home" / "hub" / "models--me--bert" / "snapshots" / ("a" * 40)
