from __future__ import annotations

import importlib.util
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import CurateError, MediaError
from curate.media.text import HuggingFace, Words, make_tokenizer, words
from curate.specs import TextSpec

TEXTS = ["the cat sat", "the dog sat [LAUGHTER]", "the <user> don't know emoji_15 !"]


def test_words_markers_and_signs_are_tokens():
    assert words("[LAUGHTER] Don't go,  <user> emoji_15!") == [
        "[laughter]",
        "don't",
        "go",
        ",",
        "<user>",
        "emoji_15",
        "!",
    ]


def test_ids_are_those_of_the_alphabet_from_two_on_and_rare_words_are_unknown():
    tokenizer = Words(TEXTS, least=2)
    assert tokenizer.vocabulary == 4, "padding, unknown, sat, the"
    assert tokenizer.ids("the fat cat SAT", most=9) == [3, 1, 1, 2]
    row = tokenizer.load("the fat cat", tokenizer.spec(5))
    assert row.tolist() == [3, 1, 1, 0, 0] and row.dtype == np.int32


def test_texts_of_unknown_words_alone_are_counted():
    """Of five texts one is empty, and two have no word that another has; of a hundred and one, one is below 1 %."""
    (note,) = Words(["red fox", "red", "blue", "green", ""]).notes
    assert note.startswith("2 of 4 training texts ")
    assert not Words(["red"] * 100 + ["blue"]).notes and not Words(["red", "blue"], least=1).notes


def test_a_long_text_is_cut_and_an_empty_one_is_no_medium():
    tokenizer = Words(TEXTS, least=1)
    assert len(tokenizer.ids("the " * 50, most=7)) == 7
    with pytest.raises(MediaError) as caught:
        tokenizer.load(" \t", tokenizer.spec(4))
    assert caught.value.status == "empty"


@given(st.lists(st.text(max_size=40), max_size=6), st.text(max_size=60), st.integers(1, 12))
def test_every_id_fits_the_spec_whatever_the_text(texts, text, tokens):
    tokenizer = Words(texts, least=1)
    ids = tokenizer.ids(text, tokens)
    assert len(ids) <= tokens and all(1 <= i < tokenizer.vocabulary for i in ids)
    assert 1 not in tokenizer.ids(" ".join(texts), 10**6), "a word of the training texts is known"


def test_the_name_tells_vocabularies_apart_and_nothing_else():
    assert Words(TEXTS).name == Words(reversed(TEXTS)).name == pickle.loads(pickle.dumps(Words(TEXTS))).name
    assert Words(TEXTS).name != Words(TEXTS, least=1).name
    assert Words(["ab c"], 1).name != Words(["a bc"], 1).name
    assert Words(TEXTS).spec(3) == TextSpec(tokens=3, vocabulary=4, tokenizer=Words(TEXTS).name)


def test_a_folder_needs_the_extra_or_a_tokenizer_in_it(tmp_path):
    wanted = "extra" if importlib.util.find_spec("transformers") is None else "holds no tokenizer"
    with pytest.raises(CurateError) as caught:
        make_tokenizer(str(tmp_path), TEXTS)
    assert wanted in caught.value.message + caught.value.hint


def test_a_hugging_face_tokenizer_keeps_its_ids_plus_one(tmp_path):
    pytest.importorskip("transformers", reason="needs the extra `text`")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat"]
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    tokenizer = HuggingFace(tmp_path)
    assert tokenizer.vocabulary == 8
    assert tokenizer.load("The cat zzz", tokenizer.spec(7)).tolist() == [3, 6, 7, 2, 4, 0, 0]
    assert tokenizer.load("the cat", tokenizer.spec(3)).tolist() == [3, 6, 4], "cut, with its last mark"
    before = tokenizer.name
    (tmp_path / "vocab.txt").write_text("\n".join([*vocabulary, "dog"]))
    assert HuggingFace(tmp_path).name != before
