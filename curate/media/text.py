"""Convert texts to token ids, by the words of the training texts or a local Hugging Face tokeniser.

Id 0 is padding for every tokeniser: Hugging Face ids are increased by one.
"""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from curate.errors import CurateError, MediaError
from curate.specs import UNKNOWN, TextSpec

# A marker such as [LAUGHTER] or <user>, a word with its apostrophes, or one other sign.
TOKEN = re.compile(r"\[\w+\]|<\w+>|\w+(?:['’]\w+)*|[^\w\s]")
ALIKE = 0.01
"""Share of the texts without any known word above which this is said."""
FILES = ("tokenizer*", "vocab*", "merges*", "special_tokens*", "spiece*", "*.model")


class Tokenizer(ABC):
    """Base of the tokenisers; instances are picklable.

    Attributes:
        name: its kind and a digest of everything that determines its ids.
        vocabulary: one more than its largest id.
        notes: what a user should know about how it reads the training texts, one sentence each.
    """

    name: str
    vocabulary: int
    notes: tuple[str, ...] = ()

    @abstractmethod
    def ids(self, text: str, most: int) -> list[int]:
        """At most `most` ids of a text, each 1 or more."""

    def spec(self, tokens: int) -> TextSpec:
        """The spec of texts that this tokeniser reads."""
        return TextSpec(tokens=tokens, vocabulary=self.vocabulary, tokenizer=self.name)

    def load(self, text: str, spec: TextSpec) -> NDArray[np.int32]:
        """One text as one row of the cache: its first ids, then zeros.

        Raises:
            MediaError: `empty`, the text has no token.
        """
        found = self.ids(text, spec.tokens)
        if not found:
            raise MediaError("empty", "the text holds no token")
        return np.pad(np.array(found, dtype=spec.dtype), (0, spec.tokens - len(found)))


class Words(Tokenizer):
    """Lower-cased words, markers and signs; those of the training texts have ids from 2 on, all others id 1.

    Args:
        texts: the training texts.
        least: a word with fewer occurrences among them is unknown.
    """

    def __init__(self, texts: Iterable[str], least: int = 2) -> None:
        found = [own for own in map(words, texts) if own]
        counts = Counter(chain.from_iterable(found))
        kept = sorted(word for word, count in counts.items() if count >= least)
        self._ids = {word: i for i, word in enumerate(kept, start=UNKNOWN + 1)}
        self.vocabulary = UNKNOWN + 1 + len(kept)
        self.name = f"words-{_digest(*(word.encode() for word in kept))}"
        alike = sum(self._ids.keys().isdisjoint(own) for own in found)
        if alike > ALIKE * len(found):
            self.notes = (
                f"{alike} of {len(found)} training texts have no word that occurs {least} times in them: to the model "
                "they are alike; a tokenizer that knows more is named by --set data.tokenizer=FOLDER",
            )

    @override
    def ids(self, text: str, most: int) -> list[int]:
        return [self._ids.get(word, UNKNOWN) for word in words(text)[:most]]


class HuggingFace(Tokenizer):
    """The tokeniser in a local folder, special tokens included; needs the extra `text`.

    Raises:
        CurateError: the extra is not installed, or the folder has no tokeniser.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.vocabulary = 1 + len(_pretrained(folder))
        self.name = f"huggingface-{_digest(*_content(folder))}"

    @override
    def ids(self, text: str, most: int) -> list[int]:
        return [i + 1 for i in _pretrained(self._folder)(text, truncation=True, max_length=most)["input_ids"]]


def make_tokenizer(choice: str, texts: Iterable[str]) -> Tokenizer:
    """`words` of the training texts, or the Hugging Face tokeniser in the folder named.

    Raises:
        CurateError: as in `HuggingFace`.
    """
    return Words(texts) if choice == "words" else HuggingFace(Path(choice).expanduser())


def words(text: str) -> list[str]:
    """The lower-cased words, markers and signs of a text, in order."""
    return TOKEN.findall(text.lower())


def need_transformers(what: str) -> Any:
    """The module `transformers`.

    Raises:
        CurateError: it is not installed.
    """
    try:
        import transformers
    except ImportError:
        raise CurateError(
            f"{what} needs the package transformers", "install the extra: pip install 'curate-mm[text]'"
        ) from None
    return transformers


@lru_cache(maxsize=2)
def _pretrained(folder: Path) -> Any:
    """The tokeniser of a local folder, never downloaded; opened once per process."""
    module = need_transformers(f"the tokenizer in {folder}")
    hint = "give a folder with tokenizer.json or vocab.txt, or leave data.tokenizer at `words`"
    if not folder.is_dir():
        raise CurateError(f"data.tokenizer: {folder} is not a folder", hint)
    try:
        return module.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise CurateError(f"data.tokenizer: {folder} holds no tokenizer: {first}", hint) from error


def _content(folder: Path) -> list[bytes]:
    """The content of a tokeniser's files."""
    found = sorted({path for pattern in FILES for path in folder.glob(pattern)})
    return [path.read_bytes() for path in found]


def _digest(*parts: bytes) -> str:
    """A digest of ten hexadecimal digits; it also depends on the lengths of the parts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()[:10]
