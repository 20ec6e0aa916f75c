"""Encoders of texts: token ids (B, L), where 0 is padding, to features (B, D)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from typing_extensions import override

from curate.errors import CurateError
from curate.media.text import need_transformers
from curate.specs import TextSpec

from .external.libraries import read_pretrained


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """The mean of (B, L, W) over the positions where (B, L) is True; zeros if there are none."""
    weights = mask.unsqueeze(-1).to(x.dtype)
    return (x * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


class TextTransformer(nn.Module):
    """A small Transformer from random initialisation: word and position embeddings, mean over the words, linear layer.

    Args:
        spec: the format of the stored texts.
        dim: number of features D.
        width: size of embeddings and layers.
        layers: of self-attention, four times as wide inside.
        heads: of attention; must divide `width`.
    """

    def __init__(self, spec: TextSpec, dim: int, width: int = 128, layers: int = 2, heads: int = 4) -> None:
        super().__init__()
        self.dim = dim
        self.words = nn.Embedding(spec.vocabulary, width, padding_idx=0)
        self.places = nn.Parameter(0.02 * torch.randn(spec.tokens, width))
        nn.init.normal_(self.words.weight[1:], std=0.02)
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, batch_first=True, norm_first=True)
        self.net = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)
        self.head = nn.Linear(width, dim)

    @override
    def forward(self, ids: Tensor) -> Tensor:
        mask = ids != 0
        # A text of padding only attends to its first position: attention over no position is NaN.
        hidden = ~mask
        hidden[:, 0] &= mask.any(dim=1)
        x = self.net(self.words(ids) + self.places[: ids.shape[1]], src_key_padding_mask=hidden)
        result: Tensor = self.head(masked_mean(x, mask))
        return result


class Pretrained(nn.Module):
    """A Hugging Face model from a local folder, mean over its tokens, and a linear layer to D features.

    Weights are read as in `read_pretrained`: all of them must be there.

    Args:
        folder: contains `config.json` and the weights.
        spec: made by the tokeniser of the same folder.
        dim: number of features D.

    Raises:
        CurateError: the extra `text` is missing, the folder has no model, or the tokens are from another tokeniser.
    """

    def __init__(self, folder: Path, spec: TextSpec, dim: int) -> None:
        super().__init__()
        module = need_transformers(f"model.text={folder}")
        if not spec.tokenizer.startswith("huggingface-"):
            raise CurateError(
                f"model.text={folder} needs its own tokens, these are {spec.tokenizer}",
                f"score with --set data.tokenizer={folder} as well",
            )
        if not folder.is_dir():
            raise CurateError(f"model.text: {folder} is not a folder", "give a local folder, or leave model.text out")
        try:
            self.net, self.left_over = read_pretrained(module, str(folder), local_files_only=True)
        except CurateError as error:
            raise CurateError(f"model.text: {folder} holds no model: {error.message}", "give a local folder") from error
        config = self.net.config
        most = getattr(config, "max_position_embeddings", spec.tokens)
        if spec.vocabulary - 1 > config.vocab_size or spec.tokens > most:
            raise CurateError(
                f"model.text: {folder} reads {config.vocab_size} tokens, {most} at once; the data has "
                f"{spec.vocabulary - 1}, {spec.tokens} at once",
                f"score with --set data.tokenizer={folder} and data.tokens of at most {most}",
            )
        self.dim = dim
        self.head = nn.Linear(config.hidden_size, dim)

    @override
    def forward(self, ids: Tensor) -> Tensor:
        mask = ids != 0
        seen = mask.clone()
        seen[:, 0] |= ~mask.any(dim=1)
        x = self.net(input_ids=(ids - 1).clamp(min=0), attention_mask=seen.long()).last_hidden_state
        result: Tensor = self.head(masked_mean(x, mask))
        return result
