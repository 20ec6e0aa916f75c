"""Heads on features: standardised by what is trained on and by nothing else, learnt as linear classifiers are."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from curate.datasets.features import Features
from curate.errors import CurateError
from curate.specs import AudioSpec, FeatureSpec
from curate.store.store import Store
from curate.train.loop import checkpoint
from curate.train.loop.engine import Runtime, fit
from curate.train.methods.method import Method
from curate.train.models import features
from curate.train.models.encoders import choose, make_encoder
from curate.train.models.features import MLP, StandardisedFeatures
from curate.train.models.model import FusionModel, ModelConfig
from curate.train.stages.score import score
from curate.train.stages.session import Session
from curate.train.stages.setup import prepare
from curate.train.stages.training import train

NAMES = ("low", "middle", "high")
SHORT = {"score": {"epochs": 2}, "optim": {"batch_size": 16}}


def write(folder: Path, dims: dict[str, int], n: int = 90, noise: float = 0.1) -> Path:
    """Classes at the corners of a simplex, far from the origin and on odd scales: linearly separable."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 3
    for number, (m, dim) in enumerate(dims.items()):
        points = np.eye(3, dim)[labels] + noise * rng.normal(size=(n, dim))
        np.save(folder / f"{m}.npy", 10.0 ** rng.integers(-3, 4, dim) * (points + 5 * number))
    splits = ["train", "train", "train", "train", "val", "test"]
    rows = ["sample_id,label,split", *(f"s{i:03d},{NAMES[k]},{splits[i // 3 % 6]}" for i, k in enumerate(labels))]
    (folder / "samples.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Session:
    return Session(Store(tmp_path / "t.duckdb"), tmp_path / "cache", Runtime(device="cpu"))


@given(st.integers(1, 60), st.integers(1, 5), st.integers(0, 9), st.integers(1, 20))
def test_standardised_rows_have_mean_0_and_deviation_1(n, dim, seed, chunk) -> None:
    rng = np.random.default_rng([n, dim, seed])
    array = (1000 * rng.normal(size=dim) + rng.normal(size=(2 * n, dim))).astype(np.float32)
    array[:, 0] = 3.25  # says nothing
    rows = rng.permutation(2 * n)[:n]
    encoder = StandardisedFeatures(dim)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "CHUNK", chunk)
        encoder.observe(array, rows)
    own = array[rows].astype(np.float64)
    np.testing.assert_allclose(encoder.mean, own.mean(axis=0), rtol=1e-6)
    scale = np.where(np.ptp(own, axis=0) == 0, 1, own.std(axis=0))
    np.testing.assert_allclose(encoder.scale, scale, rtol=1e-5)
    z = encoder(torch.from_numpy(array[rows]))
    assert torch.isfinite(z).all() and (z[:, 0] == 0).all()


def test_the_fused_head_on_linear_features_is_a_linear_classifier() -> None:
    torch.manual_seed(0)
    specs = {"audio": FeatureSpec(dim=4), "visual": FeatureSpec(dim=2)}
    model = FusionModel(specs, NAMES, ModelConfig())
    arrays = {
        m: np.random.default_rng(i).normal(3, 2, (20, s.dim)).astype(np.float32)
        for i, (m, s) in enumerate(specs.items())
    }
    model.observe(arrays, np.arange(20))
    out = model({m: torch.from_numpy(a) for m, a in arrays.items()})
    z = np.concatenate([(a - a.mean(axis=0)) / a.std(axis=0) for a in arrays.values()], axis=1)
    weight, bias = (p.detach().numpy() for p in (model.fusion.head.weight, model.fusion.head.bias))
    np.testing.assert_allclose(out.fused.detach(), z @ weight.T + bias, atol=1e-4)
    assert not list(model.encoders.parameters()) and set(model.encoders.state_dict()) == {
        f"{m}.{b}" for m in specs for b in ("mean", "scale")
    }


def test_gradients_reach_the_hidden_layer_and_never_the_statistics() -> None:
    model = FusionModel({m: FeatureSpec(dim=3) for m in ("a", "b")}, NAMES, ModelConfig(encoder="mlp"))
    model.observe({m: np.random.default_rng(0).normal(size=(9, 3)) for m in ("a", "b")}, np.arange(9))
    model({m: torch.randn(5, 3) for m in ("a", "b")}).fused.sum().backward()
    for m in ("a", "b"):
        assert len(model.encoder_parameters(m)) == 2
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.encoder_parameters(m))
        assert not model.encoders[m].mean.requires_grad and not model.encoders[m].scale.requires_grad


@pytest.mark.long
@pytest.mark.parametrize("encoder", ["linear", "mlp"])
def test_separable_classes_are_learnt_and_three_modalities_go_all_the_way(place, tmp_path, encoder) -> None:
    root = write(tmp_path / "f", {"audio": 4, "text": 6, "visual": 3})
    layers = [SHORT, {"model": {"encoder": encoder}, "score": {"epochs": 12}}]
    scored = score(place, "features", root, layers, 0)
    assert len(place.store.rounds.read(scored.run_id).gaps.pairs) == 3
    losses = [v for (v,) in place.store.query("SELECT value FROM epoch WHERE metric = 'loss' ORDER BY epoch")[1]]
    assert all(a > b for a, b in itertools.pairwise(losses)), "convex, and the step is small"
    accuracies = dict(place.store.query("SELECT modality, accuracy FROM by_modality")[1])
    assert accuracies == dict.fromkeys(("audio", "text", "visual", "fused"), 1.0)
    run = train(place, scored, "adaptive", [{"method": {"rounds": 2}, "train": {"epochs": 2}}], 0)
    assert place.store.epochs.test_metrics(run.run_id)["fused"]["accuracy"] == 1.0
    assert place.store.rounds.numbers(run.run_id) == [0, 1, 2]


def test_the_statistics_are_those_of_the_training_split(place, tmp_path) -> None:
    root = write(tmp_path / "f", {"audio": 4, "visual": 3})
    array = np.load(root / "audio.npy")
    dataset = Features(root, Features.Options())
    own = np.array([s.split == "train" for s in dataset.samples])
    array[~own] *= 1e4
    np.save(root / "audio.npy", array)
    scored = score(place, "features", root, [SHORT], 0)
    weights = checkpoint.read(Path(scored.folder) / "last.pt", torch.device("cpu"))["model"]
    np.testing.assert_allclose(weights["encoders.audio.mean"], array[own].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(weights["encoders.audio.scale"], array[own].std(axis=0), rtol=1e-4)


def test_out_of_fold_the_statistics_leave_the_fold_out(place, tmp_path) -> None:
    root = write(tmp_path / "f", {"audio": 4, "visual": 3})
    scored = score(place, "features", root, [SHORT, {"score": {"folds": 2, "epochs": 1}}], 0)
    array = np.load(root / "audio.npy")
    fold = dict(place.store.query("SELECT sample_id, fold FROM samples WHERE split = 'train'")[1])
    for number in (0, 1):
        others = [int(i[1:]) for i, f in fold.items() if f != number]
        weights = checkpoint.read(Path(scored.folder) / f"fold-{number}.pt", torch.device("cpu"))["model"]
        np.testing.assert_allclose(weights["encoders.audio.mean"], array[others].mean(axis=0), rtol=1e-5)


@pytest.mark.long
def test_a_warm_start_keeps_the_statistics_it_was_trained_with(place, tmp_path) -> None:
    root = write(tmp_path / "f", {"audio": 4, "visual": 3})
    scored = score(place, "features", root, [SHORT], 0)
    path = Path(scored.folder) / "last.pt"
    content = checkpoint.read(path, torch.device("cpu"))
    content["model"]["encoders.audio.mean"] += 7
    torch.save(content, path)
    run = train(place, scored, "warmup", [{"train": {"epochs": 1}}], 0)
    after = checkpoint.read(Path(run.folder) / "last.pt", torch.device("cpu"))["model"]
    assert torch.equal(after["encoders.audio.mean"], content["model"]["encoders.audio.mean"])


def test_an_encoder_reads_its_own_kind_alone() -> None:
    assert type(make_encoder("auto", FeatureSpec(dim=3))) is StandardisedFeatures
    assert isinstance(make_encoder("mlp", FeatureSpec(dim=3)), MLP)
    with pytest.raises(CurateError, match="small_cnn cannot read sound") as caught:
        choose("small_cnn", {"sound": FeatureSpec(dim=3)})
    assert "auto, linear, mlp" in caught.value.hint
    with pytest.raises(CurateError, match="mlp cannot read audio"):
        choose("audio=mlp", {"audio": AudioSpec()})
    both = {"audio": AudioSpec(), "text": FeatureSpec(dim=3)}
    assert choose("mlp", both) == {"audio": "auto", "text": "mlp"}


@pytest.mark.long
def test_a_method_that_edits_encoders_says_that_linear_heads_have_none(place, tmp_path) -> None:
    class Edits(Method):
        """Edits the gradients of encoders."""

        name = "edits"

        def modulate(self, model, outputs, batch):
            return sum(1 for m in model.modalities for _ in model.encoder_parameters(m))

    root = write(tmp_path / "f", {"audio": 4, "visual": 3})
    for encoder in ("linear", "mlp"):
        scored = score(place, "features", root, [SHORT, {"model": {"encoder": encoder}, "score": {"epochs": 1}}], 0)
        job = prepare(place, scored)
        trainer, data = job.trainer, job.data
        trainer.method = Edits()
        if encoder == "mlp":
            assert len(list(fit(trainer, data, 1))) == 1
        else:
            with pytest.raises(CurateError, match="edits changes the gradients of encoders"):
                list(fit(trainer, data, 1))


def test_blank_vectors_are_claimed_and_whole_ones_are_not(place, tmp_path) -> None:
    """A seventh of the pictures' vectors are nothing; of a view of a few numbers nothing is claimed."""
    root = write(tmp_path / "f", {"audio": 5, "visual": 20}, n=720)
    pictures = np.load(root / "visual.npy")
    blank = np.arange(720) % 7 == 0
    pictures[blank] = 0
    np.save(root / "visual.npy", pictures)
    score(place, "features", root, [{"score": {"epochs": 15, "folds": 0}, "model": {"encoder": "mlp"}}], 0)
    rows = place.store.rows("SELECT sample_id, broken, p_broken_audio FROM samples WHERE split = 'train'", [])
    claimed = {i for i, broken, _ in rows if broken}
    assert claimed == {i for i, *_ in rows if blank[int(i[1:])]}
    assert {broken for _, broken, _ in rows} == {"", "visual"} and {p for *_, p in rows} == {None}


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_weights_of_a_file_start_an_encoder_of_features(kind, tmp_path) -> None:
    specs = {m: FeatureSpec(dim=3) for m in ("audio", "visual")}
    source = make_encoder(kind, specs["audio"])
    source.observe(np.random.default_rng(0).normal(size=(9, 3)), np.arange(9))
    torch.save(source.state_dict(), tmp_path / "a.pt")
    model = FusionModel(specs, NAMES, ModelConfig(encoder=kind, weights=f"audio={tmp_path / 'a.pt'}"))
    done = model.load_weights()
    assert done["audio"] == [f"{len(source.state_dict())} tensors of {tmp_path / 'a.pt'}"]
    for name, value in model.encoders["audio"].state_dict().items():
        assert torch.equal(value, source.state_dict()[name])
    torch.save({"other": torch.zeros(1)}, tmp_path / "b.pt")
    with pytest.raises(CurateError, match="does not fit: mean is missing"):
        FusionModel(specs, NAMES, ModelConfig(encoder=kind, weights=f"audio={tmp_path / 'b.pt'}")).load_weights()


def test_a_modality_that_no_part_of_a_network_can_be_named_after_is_refused_before_anything_is_decoded(
    place, tmp_path
) -> None:
    root = write(tmp_path / "f", {"audio": 3, "values": 3})
    with pytest.raises(CurateError, match="cannot have the name 'values'"):
        score(place, "features", root, [SHORT], 0)
    assert not place.cache_folder.exists() and not place.store.path.exists()
    with pytest.raises(CurateError, match="cannot have the name 'values'"):
        FusionModel({m: FeatureSpec(dim=3) for m in ("audio", "values")}, NAMES, ModelConfig())
