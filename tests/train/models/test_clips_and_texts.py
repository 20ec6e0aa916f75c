"""What networks see of clips and texts, their encoders, and encoders from files."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from curate.errors import CurateError
from curate.specs import AudioSpec, ClipSpec, FlowSpec, TextSpec, VisualSpec
from curate.train.data.crops import Clips
from curate.train.data.samples import Batch, BatchTransform, Tokens
from curate.train.models.encoders import CLIPS, ResNet18, Small3D, choose, input_size, make_encoder, size_of
from curate.train.models.model import FusionModel, ModelConfig
from curate.train.models.texts import Pretrained, TextTransformer, masked_mean
from curate.train.models.weights import load_encoder

SOUND = AudioSpec(rate=1000, seconds=0.512, n_fft=64, hop=32, n_mels=16)
PICTURE = VisualSpec(frames=2, size=16)
CLIP = ClipSpec(frames=10, size=12, window=6, crop=8, channels=1)
FLOW = FlowSpec(frames=10, size=12, window=6, crop=8)
TEXT = TextSpec(tokens=7, vocabulary=20)
SMALL = {"text_width": 16, "text_layers": 1}


def numbered(spec: ClipSpec, count: int) -> torch.Tensor:
    """Clips in which every frame, row and column has a value of its own."""
    f, s = torch.arange(spec.frames), torch.arange(spec.size)
    clip = (f[:, None, None] + 3 * s[:, None] + 5 * s).to(torch.int8 if isinstance(spec, FlowSpec) else torch.uint8)
    return clip[None, ..., None].expand(count, *spec.shape)


def test_scoring_sees_the_middle_of_a_clip() -> None:
    clip = numbered(CLIP, 1)
    seen = Clips(CLIP, [0.5], [0.5]).eval()(clip)
    assert seen.shape == (1, 6, 1, 8, 8)
    torch.testing.assert_close(seen[0, :, 0], clip[0, 2:8, 2:10, 2:10, 0].float() / 127.5 - 1)


def test_flow_is_a_share_of_its_limit_with_its_sign() -> None:
    clip = torch.full((1, *FLOW.shape), -127, dtype=torch.int8)
    assert (Clips(FLOW, [9.0], [9.0])(clip) == -1).all()


def test_every_place_is_reached_and_none_outside() -> None:
    net, clip = Clips(CLIP, [0.0], [1 / 255]), numbered(CLIP, 1)
    corners = {
        float(net(clip, torch.tensor([[u, 0.0, 0.0]]))[0, 0, 0, 0, 0]) for u in np.linspace(0, 1, 50, endpoint=False)
    }
    assert corners == {0, 1, 2, 3, 4}, "five windows of 6 in 10 frames"
    last = net(clip, torch.full((1, 3), 1 - 1e-7))
    assert last.shape == (1, 6, 1, 8, 8) and last[0, 0, 0, 0, 0] == 4 + 3 * 4 + 5 * 4


def test_in_training_all_modalities_of_a_sample_are_cut_at_one_place_and_samples_at_others() -> None:
    transform = BatchTransform(
        {"visual": ClipSpec(frames=10, size=12, window=6, crop=8, channels=1), "flow": FLOW}
    ).train()
    inputs = {"visual": numbered(CLIP, 16), "flow": numbered(FLOW, 16)}
    batch = Batch(np.arange(16).astype(str), inputs, torch.zeros(16, dtype=torch.long))
    seen = transform(batch, seed=3).inputs
    corner = {m: x[:, 0, 0, 0, 0] for m, x in seen.items()}
    places = ((corner["visual"] + 1) * 127.5).round()
    assert torch.equal(places, (corner["flow"] * 127).round()) and len(set(places.tolist())) > 4
    assert torch.equal(seen["visual"], transform(batch, seed=3).inputs["visual"])
    assert not torch.equal(seen["visual"], transform(batch, seed=4).inputs["visual"])
    assert torch.equal(*(transform.eval()(batch, seed).inputs["visual"] for seed in (1, 2)))


def test_tokens_are_cut_behind_the_longest_text() -> None:
    ids = torch.tensor([[4, 5, 0, 0, 0], [6, 0, 7, 0, 0]], dtype=torch.int32)
    assert Tokens()(ids).tolist() == [[4, 5, 0], [6, 0, 7]]
    assert Tokens()(torch.zeros(2, 5, dtype=torch.int32)).shape == (2, 1)


def test_the_mean_of_words_by_hand() -> None:
    x = torch.tensor([[[1.0], [3.0], [100.0]], [[7.0], [7.0], [7.0]]])
    mask = torch.tensor([[True, True, False], [False, False, False]])
    assert masked_mean(x, mask).tolist() == [[2.0], [0.0]]


def test_padding_changes_no_text_and_a_text_of_padding_is_finite() -> None:
    net = TextTransformer(TEXT, dim=5, width=16, layers=2).eval()
    ids = torch.tensor([[3, 4, 5, 0, 0, 0, 0], [0] * 7, [9, 3, 4, 5, 6, 7, 8]])
    features = net(ids)
    assert features.shape == (3, 5) and torch.isfinite(features).all()
    torch.testing.assert_close(features[:1], net(ids[:1, :3]), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(features[1], net.head.bias)
    net.train()(ids).sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())
    assert (net.words.weight.grad[0] == 0).all(), "padding learns nothing"


def test_word_order_matters() -> None:
    torch.manual_seed(0)
    net = TextTransformer(TEXT, dim=5, width=16, layers=1).eval()
    assert not torch.allclose(net(torch.tensor([[3, 4, 5]])), net(torch.tensor([[5, 4, 3]])))


@pytest.mark.parametrize("kind", CLIPS)
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_clip_encoders_read_one_two_and_three_channels(kind: str, channels: int) -> None:
    spec = ClipSpec(frames=4, size=16, window=4, crop=16, channels=channels)
    encoder = make_encoder(kind, spec).eval()
    with torch.no_grad():
        x = torch.randn(2, 4, channels, 16, 16)
        assert encoder(x).shape == (2, size_of(encoder))
        assert not torch.allclose(encoder(x), encoder(x.flip(1)), atol=1e-6), "time has a direction"


def test_auto_convolves_over_the_time_of_clips() -> None:
    assert isinstance(make_encoder("auto", CLIP), Small3D)
    assert make_encoder("auto", ClipSpec()).net.stem[0].in_channels == 3
    assert input_size(FLOW) == (2, 8, 8) and input_size(TEXT) == (1, 1, 7)


def test_encoders_are_chosen_for_all_or_by_modality() -> None:
    specs = {"audio": SOUND, "visual": CLIP, "text": TEXT}
    assert choose("auto", specs) == {"audio": "auto", "visual": "auto"}
    assert choose("r3d_18", specs) == {"audio": "auto", "visual": "r3d_18"}
    assert choose("small_cnn", specs) == {"audio": "small_cnn", "visual": "small_cnn"}
    assert choose("visual=small_3d, audio=resnet18", specs) == {"audio": "resnet18", "visual": "small_3d"}
    assert choose("visual=resnet18", specs)["audio"] == "auto"


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ("resnet19", "'resnet18'"),
        ("visual=resnet19", "'resnet18'"),
        ("vision=resnet18", "'visual'"),
        ("text=resnet18", "modality"),
        ("audio=r3d_18", "r3d_18 cannot read audio"),
        ("visual=", "modality=value"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(choice: str, told: str) -> None:
    with pytest.raises(CurateError) as caught:
        choose(choice, {"audio": SOUND, "visual": PICTURE, "text": TEXT})
    assert told in caught.value.message + caught.value.hint


@pytest.mark.parametrize("fusion", ["concat", "weight"])
def test_texts_take_the_feature_size_of_the_others(fusion: str) -> None:
    model = FusionModel({"audio": SOUND, "visual": PICTURE, "text": TEXT}, "abc", ModelConfig(fusion=fusion, **SMALL))
    assert model.dims == {"audio": 64, "visual": 64, "text": 64} and model.modalities == ("audio", "visual", "text")
    mixed = ModelConfig(encoder="visual=resnet18", **SMALL)
    assert FusionModel({"audio": SOUND, "visual": PICTURE, "text": TEXT}, "abc", mixed).dims["text"] == 512


def test_a_common_size_makes_different_encoders_fit() -> None:
    specs = {"audio": SOUND, "visual": PICTURE, "text": TEXT}
    model = FusionModel(specs, "abc", ModelConfig(encoder="visual=resnet18", dim=64, fusion="weight", **SMALL))
    assert set(model.dims.values()) == {64}
    inputs = {
        "audio": torch.randn(2, 1, 16, 17),
        "visual": torch.randn(2, 2, 3, 16, 16),
        "text": torch.tensor([[3], [4]]),
    }
    assert model(inputs).fused.shape == (2, 3)
    with pytest.raises(CurateError, match="equal feature sizes") as caught:
        FusionModel(specs, "abc", ModelConfig(encoder="visual=resnet18", fusion="weight", **SMALL))
    assert "model.dim" in caught.value.hint


@pytest.mark.parametrize("wrong", [{"dim": 0}, {"text_width": 30}, {"text_layers": 0}])
def test_impossible_sizes_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(CurateError, match="out of range"):
        ModelConfig(**wrong)


def test_weights_of_a_classifier_start_an_encoder(tmp_path) -> None:
    torch.manual_seed(0)
    source, target = ResNet18(3), ResNet18(3)
    classifier = {**source.net.state_dict(), "fc.weight": torch.randn(10, 512), "fc.bias": torch.zeros(10)}
    torch.save({"state_dict": {f"module.{k}": v for k, v in classifier.items()}}, tmp_path / "a.pth")
    specs = {"audio": SOUND, "visual": PICTURE}
    config = ModelConfig(encoder="visual=resnet18", weights=f"visual={tmp_path / 'a.pth'}")
    model = FusionModel(specs, "abc", config)
    model.load_weights()
    for a, b in zip(model.encoders["visual"].state_dict().values(), source.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    load_encoder(target, tmp_path / "a.pth")
    assert torch.equal(target.net.conv1.weight, source.net.conv1.weight)


def test_weights_that_do_not_fit_are_refused_by_name(tmp_path) -> None:
    state = ResNet18(3).net.state_dict()

    class Harmful:
        def __reduce__(self):
            return (print, ("run",))

    torch.save(state, tmp_path / "colour.pt")
    torch.save({k: v for k, v in state.items() if k != "bn1.weight"}, tmp_path / "part.pt")
    torch.save({"x": Harmful()}, tmp_path / "code.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    (tmp_path / "text.pt").write_text("no weights")
    for name, told in (
        ("colour", r"conv1.weight is \(64, 3, 7, 7\), expected \(64, 1, 7, 7\)"),
        ("part", "bn1.weight is missing"),
        ("code", "cannot be loaded"),
        ("list", "no state_dict"),
        ("text", "cannot be loaded"),
        ("none", "no weights at"),
    ):
        with pytest.raises(CurateError, match=told):
            load_encoder(ResNet18(1), tmp_path / f"{name}.pt")


def test_a_local_hugging_face_model_reads_texts(tmp_path) -> None:
    transformers = pytest.importorskip("transformers", reason="needs the extra `text`")
    config = transformers.BertConfig(
        vocab_size=19,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=7,
    )
    saved = transformers.BertModel(config)
    saved.save_pretrained(tmp_path)
    spec = TextSpec(tokens=7, vocabulary=20, tokenizer="huggingface-0")
    net = Pretrained(tmp_path, spec, dim=6).eval()
    assert torch.equal(net.net.embeddings.word_embeddings.weight, saved.embeddings.word_embeddings.weight)
    ids = torch.tensor([[3, 4, 0, 0], [0, 0, 0, 0]])
    features = net(ids)
    assert features.shape == (2, 6) and torch.isfinite(features).all()
    torch.testing.assert_close(features[:1], net(ids[:1, :2]), atol=1e-6, rtol=1e-5)
    with pytest.raises(CurateError, match="its own tokens"):
        Pretrained(tmp_path, TEXT, dim=6)
    with pytest.raises(CurateError, match="reads 19 tokens"):
        Pretrained(tmp_path, TextSpec(tokens=8, vocabulary=20, tokenizer="huggingface-0"), dim=6)
