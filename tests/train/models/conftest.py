"""Tiny models of other libraries, written and read on this machine alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "digit", "is", "this", "two"]


@pytest.fixture(scope="session")
def timm() -> Any:
    return pytest.importorskip("timm", reason="needs the extra `encoders`")


@pytest.fixture(scope="session")
def transformers() -> Any:
    return pytest.importorskip("transformers", reason="needs the extra `encoders`")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a network connection and with an empty cache of the hub."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory, transformers: Any, timm: Any) -> Path:
    """One folder for each kind of model: `timm`, `vit`, `ast`, `wav`, `bert`."""
    from tokenizers import Tokenizer, pre_tokenizers, processors
    from tokenizers.models import WordLevel

    torch.manual_seed(0)
    t, root = transformers, tmp_path_factory.mktemp("models")
    net = timm.create_model("test_vit", num_classes=3, img_size=32)
    timm.models.save_for_hf(net, root / "timm", model_args={"img_size": 32}, safe_serialization=True)
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    vit = t.ViTConfig(image_size=32, patch_size=16, **small)
    t.ViTForImageClassification(vit).save_pretrained(root / "vit")
    seen = t.ViTImageProcessor(size={"height": 32, "width": 32}, image_mean=[0.4, 0.5, 0.6], image_std=[0.2, 0.3, 0.1])
    seen.save_pretrained(root / "vit")
    ast = t.ASTConfig(max_length=32, num_mel_bins=16, patch_size=8, frequency_stride=8, time_stride=8, **small)
    t.ASTForAudioClassification(ast).save_pretrained(root / "ast")
    t.ASTFeatureExtractor(max_length=32, num_mel_bins=16).save_pretrained(root / "ast")
    conv = {"conv_dim": (8, 8), "conv_stride": (5, 4), "conv_kernel": (10, 8), "num_feat_extract_layers": 2}
    wav = t.Wav2Vec2Config(**small, **conv, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2)
    t.Wav2Vec2ForCTC(wav).save_pretrained(root / "wav")
    t.Wav2Vec2FeatureExtractor().save_pretrained(root / "wav")
    words = Tokenizer(WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    t.PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(root / "bert")
    bert = t.BertConfig(vocab_size=len(WORDS), max_position_embeddings=12, **small)
    t.BertForMaskedLM(bert).save_pretrained(root / "bert")
    return root
