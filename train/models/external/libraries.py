"""What the sources of encoders share: libraries that may be missing, local folders, and messages of others."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from curate.errors import CurateError, first_line, unknown_name

from ..tensors import listed

FILES = ("model.safetensors", "open_clip_model.safetensors", "pytorch_model.bin")
EXTRA = "pip install 'curate-mm[encoders]'"


def library(name: str, what: str) -> Any:
    """A module that is only needed for some encoders.

    Raises:
        CurateError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise CurateError(
            f"{what} needs the package {name}: {first_line(error)}", f"install the extra: {EXTRA}"
        ) from None


def folder_of(name: str, prefix: str) -> Path | None:
    """The folder that a name is, absolute; None if it is written as a name of the library.

    Raises:
        CurateError: it is written as a path, and there is no such folder.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        return path.resolve()
    if name.startswith(("/", "~", ".")):
        beside = [str(p.parent) for p in path.parent.glob("*/config.json")]
        raise unknown_name(f"folder for {prefix}:", str(path), beside)
    return None


def weights_in(path: Path) -> Path:
    """A file of weights: the path itself, or the one in that folder.

    Raises:
        CurateError: the folder has none.
    """
    path = path.expanduser()
    if not path.is_dir():
        return path
    found = next((path / name for name in FILES if (path / name).is_file()), None)
    if found is None:
        raise CurateError(f"{path} holds no weights", f"expected one of {', '.join(FILES)}")
    return found


def read_pretrained(transformers: Any, source: str, shown: str = "", **options: Any) -> tuple[Any, list[str]]:
    """A Hugging Face model with all of its weights, float32, and the names of those that were left over.

    Weights are read as data only (safetensors, or PyTorch's restricted loader); code beside them is never run. What its
    own pooler lacks does not matter: `without_pooler` takes it off.

    Args:
        source: a folder, or a name in the hub's cache or on the hub.
        shown: what messages call it; `source` if empty.
        options: of transformers' `from_pretrained`.

    Raises:
        CurateError: there is no such model here, or a weight is missing or of another shape.
    """
    shown = shown or source
    if Path(source).is_absolute() and not Path(source).is_dir():
        raise CurateError(f"there is no folder {shown} any more", "its weights are needed: bring it back")
    try:
        with silent(transformers):
            net, found = transformers.AutoModel.from_pretrained(
                source, output_loading_info=True, trust_remote_code=False, **options
            )
    except Exception as error:  # of the library, the hub, or the file
        raise CurateError(
            f"{shown} has no weights that fit: {first_line(error)}",
            "name a local folder or file with model.weights=MODALITY=PATH, or start at random with "
            "model.weights=MODALITY=random",
        ) from None
    missing = sorted(k for k in found["missing_keys"] if "pooler." not in k)
    if missing:
        raise CurateError(
            f"{shown} does not fit {type(net).__name__}: missing are {listed(missing)}; left over are "
            f"{listed(sorted(found['unexpected_keys'])) or 'none'}",
            "expected the weights of the same architecture",
        )
    return net.float(), sorted(found["unexpected_keys"])


def without_pooler(net: Any) -> nn.Module:
    """A Hugging Face model without a trained layer behind its last hidden state."""
    pooler = getattr(net, "pooler", None)
    if isinstance(pooler, nn.Module) and any(True for _ in pooler.parameters()):
        net.pooler = None
    return net  # type: ignore[no-any-return]


@contextmanager
def silent(transformers: Any) -> Iterator[None]:
    """Keep transformers' own reports and progress bars from the terminal."""
    logging = transformers.utils.logging
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()
