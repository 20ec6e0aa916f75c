"""`sarcasm`: tweets with a picture, sarcastic or not.

Y. Cai, H. Cai, X. Wan, "Multi-Modal Sarcasm Detection in Twitter with Hierarchical Fusion Model", ACL 2019.
"""

from __future__ import annotations

import ast
import csv
import dataclasses
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from curate.errors import CurateError
from curate.media import Decoded, stamp
from curate.media.source import Segment
from curate.media.text import make_tokenizer
from curate.specs import InputSpec, TextSpec, VisualSpec
from curate.types import Sample

from .layout import read_text
from .recordings import Recordings

NAMES = ("not sarcastic", "sarcastic")  # labels 0 and 1
# Words that reveal the label; the authors drop the training rows with them, and their pictures are not published.
TELLTALES = frozenset(
    {"exgag", "sarcasm", "sarcastic", "reposting", "<url>", "joke", "humour", "humor", "jokes", "irony", "ironic"}
)
FOLDERS = ("images", "image_data", "dataset_image", "image", "imgs")

Row = tuple[str, str, list[int]]  # tweet id, text, its labels; if there are two, the last one is the human's


@dataclasses.dataclass(frozen=True)
class Layout:
    """One of the three forms in which the data set is distributed.

    Attributes:
        folder: of its annotation files, below --root.
        files: {split: file}.
        read: function from a file to its rows.
    """

    folder: str
    files: Mapping[str, str]
    read: Callable[[Path], Iterator[Row]]


class Sarcasm(Recordings):
    """Tweets and their pictures in two classes, in the official splits.

    The validation and test rows have two labels: that of the hashtag, by which tweets were collected, and a human's.
    They disagree on 87 and 144 rows, an example of real label noise: both are stored in `extra`, and `labels` chooses
    one. Training rows have only the hashtag's label.
    """

    name = "sarcasm"
    summary = "Twitter sarcasm: tweets with a picture, 2 classes, two labels for the test tweets"
    layout = (
        "text/{train,valid2,test2}.txt and images/<tweet id>.jpg; or annotations/{train,valid,test}_data.csv; "
        "or {train,valid,test}.json"
    )
    reusable = True
    defaults: ClassVar[Mapping[str, Any]] = {"optim.batch_size": 32, "score.batch_size": 64}

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Options(Recordings.Options):
        """Settings of `sarcasm`.

        Attributes:
            labels: `human`, where there is one; or `hashtag`.
            telltales: keep training rows with words such as `sarcasm` or `<url>`; their pictures were never published.
            images: folder of the pictures below --root; '' looks for one.
            tokenizer: `words` = those of the training texts, or a folder with a Hugging Face tokenizer.
            tokens: kept of a text.
            size: side of the picture, pixels.
        """

        labels: Literal["human", "hashtag"] = "human"
        telltales: bool = False
        images: str = ""
        tokenizer: str = "words"
        tokens: int = TextSpec.tokens
        size: int = VisualSpec.size

    options: Options

    def __init__(self, root: Path | None, options: Options) -> None:
        super().__init__(root, options)
        assert root is not None  # the base class raises an error for None
        if min(options.tokens, options.size) <= 0:
            raise CurateError(f"sarcasm: tokens={options.tokens}, size={options.size}", "both are positive")
        self.root: Path = root / "sarcasm" if (root / "sarcasm").is_dir() else root
        self.modalities = ("text", "visual")
        self.classes = NAMES
        self._images = options.images or next((f for f in FOLDERS if (self.root / f).is_dir()), FOLDERS[0])
        self.samples = tuple(self._read(_found_layout(self.root)))
        _check_ids(self.samples)
        own = [s.inputs["text"] for s in self.samples if s.split == "train"]
        self._tokenizer = make_tokenizer(options.tokenizer, own)
        self.notes += self._tokenizer.notes
        self.specs: dict[str, InputSpec] = {
            "text": self._tokenizer.spec(options.tokens),
            "visual": VisualSpec(frames=1, size=options.size, depth_range=self.depth_range),
        }

    def _read(self, layout: Layout) -> Iterator[Sample]:
        """The rows of all splits, without training rows that have one of `TELLTALES`."""
        left_out = 0
        for split, file in layout.files.items():
            for tweet, text, labels in layout.read(self.root / layout.folder / file):
                if split == "train" and not self.options.telltales and TELLTALES & set(text.split()):
                    left_out += 1
                else:
                    yield self._sample(tweet, text, labels, split)
        if left_out:
            self.notes += (f"{left_out} training rows hold a word that gives the answer away and are left out",)

    def _sample(self, tweet: str, text: str, labels: list[int], split: str) -> Sample:
        extra: dict[str, str | float] = {"hashtag_label": NAMES[labels[0]]}
        if len(labels) == 2:
            extra["human_label"] = NAMES[labels[1]]
        return Sample(
            sample_id=tweet,
            label=NAMES[labels[0] if self.options.labels == "hashtag" else labels[-1]],
            split=split,
            inputs={"text": text, "visual": f"{self._images}/{tweet}.jpg"},
            extra=extra,
        )

    def content(self, sample: Sample) -> Any:
        """The text, and the picture's path, size and time."""
        source = sample.inputs["visual"]
        return [sample.inputs["text"], source, stamp(self.root / source)]

    def media(self, sample: Sample) -> dict[str, tuple[Path, Segment | None]]:
        """The picture of a tweet."""
        return {"visual": (self.root / sample.inputs["visual"], None)}

    def decode(self, sample: Sample, modality: str) -> Decoded:
        """The text or the picture of one tweet."""
        spec = self.specs[modality]
        if isinstance(spec, TextSpec):
            return Decoded(self._tokenizer.load(sample.inputs[modality], spec), {})
        return super().decode(sample, modality)


def read_literals(path: Path) -> Iterator[Row]:
    """Rows of a file with one Python list per line: `['id', 'text', label]` or `['id', 'text', hashtag's, human's]`.

    The lines are parsed as literals; no code in them is executed.

    Raises:
        CurateError: a line is something else.
    """
    # Not splitlines(): a tweet may contain U+2028 and the like, which do not end a row.
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            try:
                tweet, text, *labels = ast.literal_eval(line.strip())
                yield _row(tweet, text, labels)
            except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
                raise _misread(path, number, line, "['840006160660983809', 'text', 1]") from None


def read_table(path: Path) -> Iterator[Row]:
    """Rows of a tab-separated file with the columns ImageID, String and Label.

    Raises:
        CurateError: a column is absent, or a line does not fit.
    """
    # Tweets contain unpaired quotation marks.
    rows = csv.DictReader(io.StringIO(read_text(path)), delimiter="\t", quoting=csv.QUOTE_NONE)
    for row in rows:
        try:
            yield _row(Path(row["ImageID"].strip()).stem, row["String"], [row["Label"].strip()])
        except (KeyError, ValueError, AttributeError):
            raise _misread(path, rows.line_num, str(row), "columns ImageID, String, Label") from None


def read_json(path: Path) -> Iterator[Row]:
    """Rows of a JSON list of {"image": file name, "text": ..., "label": 0 or 1}.

    Raises:
        CurateError: the file is not such a list.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise CurateError(f"sarcasm: {path} is not JSON: {error}", "download it again") from error
    for number, row in enumerate(rows, start=1):
        try:
            yield _row(Path(str(row["image"])).stem, row["text"], [row["label"]])
        except (KeyError, ValueError, TypeError):
            raise _misread(path, number, str(row), '{"image": "1.jpg", "text": "...", "label": 1}') from None


LAYOUTS = (
    Layout("text", {"train": "train.txt", "val": "valid2.txt", "test": "test2.txt"}, read_literals),
    Layout("annotations", {"train": "train_data.csv", "val": "valid_data.csv", "test": "test_data.csv"}, read_table),
    Layout("", {"train": "train.json", "val": "valid.json", "test": "test.json"}, read_json),
)


def _found_layout(root: Path) -> Layout:
    """The first layout whose files all exist."""
    for layout in LAYOUTS:
        if all((root / layout.folder / file).is_file() for file in layout.files.values()):
            return layout
    raise CurateError(f"sarcasm: {root} has none of the known annotation files", f"expected {Sarcasm.layout}")


def _row(tweet: object, text: object, labels: list[Any]) -> Row:
    """A checked row; an id stays text, because a number of 18 digits is not exact in floating point.

    Raises:
        ValueError: the id or the text is not a string, the id is empty, or the labels are not one or two of 0 and 1.
    """
    numbers = [int(label) for label in labels]
    if not isinstance(tweet, str) or not tweet or not isinstance(text, str) or len(numbers) not in (1, 2):
        raise ValueError
    if set(numbers) - {0, 1}:
        raise ValueError
    return tweet, text, numbers


def _misread(path: Path, number: int, found: str, expected: str) -> CurateError:
    return CurateError(f"sarcasm: line {number} of {path} is not understood: {found[:80]!r}", f"expected {expected}")


def _check_ids(samples: tuple[Sample, ...]) -> None:
    """Check that no tweet is listed twice."""
    seen: set[str] = set()
    for sample in samples:
        if sample.sample_id in seen:
            raise CurateError(f"sarcasm: tweet {sample.sample_id} is listed twice", "use the files as published")
        seen.add(sample.sample_id)
