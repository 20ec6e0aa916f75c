"""Encoders by name on the whole way: what they ask of the data, what is said and kept, and when weights are read."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of a tiny picture network and a tiny model of sound."""
    timm, t = (pytest.importorskip(name, reason="needs the extra `encoders`") for name in ("timm", "transformers"))
    root = tmp_path_factory.mktemp("encoders")
    net = timm.create_model("test_vit", num_classes=3, img_size=32)
    timm.models.save_for_hf(net, root / "vit", model_args={"img_size": 32}, safe_serialization=True)
    config = t.Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(8, 8),
        conv_stride=(8, 8),
        conv_kernel=(8, 8),
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
    )
    t.Wav2Vec2Model(config).save_pretrained(root / "wav")
    t.Wav2Vec2FeatureExtractor(sampling_rate=4000).save_pretrained(root / "wav")
    return root


def options(small: Callable[..., list[str]], encoder: str, **changes: object) -> list[str]:
    """Settings without those of the data that an encoder decides."""
    left = dict.fromkeys(f"data.{k}" for k in ("rate", "size", "channels", "n_fft", "hop", "seconds"))
    return [*small(**{**left, "model.encoder": encoder, **changes}), "--device", "cpu"]


def config_of(run: str) -> dict[str, Any]:
    with duckdb.connect("curate.duckdb", read_only=True) as con:
        (text,) = con.execute("SELECT config FROM run WHERE run_id = ?", [run]).fetchone()
    found: dict[str, Any] = json.loads(text)
    return found


@pytest.mark.long
def test_from_scoring_to_evaluation_with_the_folders_gone(
    curate: Callable, clips: Path, small_settings: Callable, encoders: Path, tmp_path: Path
) -> None:
    here = tmp_path / "encoders"
    shutil.copytree(encoders, here)
    chosen = options(small_settings, f"image=timm:{here / 'vit'},audio=hf:{here / 'wav'}")
    score = ["score", "--dataset", "manifest", "--root", clips, *chosen]
    ended = curate(*score, "--epochs", "2", "--set", "score.folds=0")
    assert ended.code == 0, ended
    for said in ("data.size=32", "data.rate=4000", "left over: head.bias, head.weight", "at 4000 Hz"):
        assert said in ended.err
    kept = config_of("score-manifest-1")
    assert (kept["data"]["size"], kept["data"]["channels"], kept["data"]["rate"]) == (32, 3, 4000)
    assert any("left over: head.bias" in line for line in kept["started"]["image"])
    shutil.rmtree(here)

    def output(*args: str) -> str:
        done = curate(*args, "--device", "cpu")
        assert done.code == 0, done
        text: str = done.out
        return text

    metrics = output("evaluate", "--split", "val", "--format", "csv")
    again = curate(*score, "--checkpoint", "curate.runs/score-manifest-1/last.pt")
    assert again.code == 0 and "weights of the checkpoint" in again.err, again
    assert output("evaluate", "--split", "val", "--format", "csv") == metrics, "the same network"
    frozen = ("--set", "model.freeze=image", "--set", "model.lr_scale=audio=0.1")
    output("train", "--method", "adaptive", "--set", "train.epochs=4", *frozen)
    output("evaluate", "--split", "test", "--format", "csv")
    gone = curate("train", "--method", "ogm", "--device", "cpu")
    assert gone.code == 1 and "no folder" in gone.err and str(here / "wav") in gone.err, "from scratch needs weights"


@pytest.mark.parametrize(
    ("encoder", "weights", "told"),
    [
        ("image=timm:test_vitt", "", "'test_vit'"),
        ("image=timm:test_vit", "", "cannot be had"),
        ("image=timm:{vit}", "image={wav}", "does not fit timm:"),
        ("image=hf:{wav}", "", "cannot read image"),
        ("audio=torchvision:r3d_18", "random", "cannot read audio"),
        ("image=resnet18", "image=none.pth", "no weights at none.pth"),
    ],
)
def test_what_cannot_be_had_or_does_not_fit_fails_before_anything_is_decoded(
    refused: Callable,
    clips: Path,
    small_settings: Callable,
    encoders: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    encoder: str,
    weights: str,
    told: str,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    names = {name: encoders / name for name in ("vit", "wav")}
    chosen = options(small_settings, encoder.format(**names), **{"model.weights": weights.format(**names)})
    cache = ("--cache", tmp_path / "own-cache")
    assert told in refused("score", "--dataset", "manifest", "--root", clips, *cache, *chosen, "--epochs", "1")
    assert not (tmp_path / "own-cache").exists()


def test_a_missing_extra_is_named(
    refused: Callable, clips: Path, small_settings: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    chosen = options(small_settings, "image=timm:resnet18")
    cache = ("--cache", tmp_path / "own-cache")
    told = refused("score", "--dataset", "manifest", "--root", clips, *cache, *chosen)
    assert "curate-mm[encoders]" in told and not (tmp_path / "own-cache").exists()
