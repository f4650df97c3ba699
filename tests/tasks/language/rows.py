from hypothesis import strategies as st

from tasks.language.corpora import SOURCES
from tasks.language.modeling import LanguageModeling
from tests.tasks.rows import Row

LANGUAGE = LanguageModeling(name="language-modeling", corpus="sotu", corpus_sha256=SOURCES["sotu"].sha256, length=24)

ROWS = {
    LanguageModeling: Row(
        LANGUAGE,
        {"name": "parity", "corpus": "enwik8", "corpus_sha256": "0" * 64, "length": 25},
        {"name": 1, "corpus": None, "corpus_sha256": 0, "length": "24"},
        100,
        {"train": "6b98cf72e6d92ba0", "validation": "0f000003eb0ad33a", "test": "d867c3eeee537b06"},
    ),
}

SPECS = st.integers(1, 3000).map(LANGUAGE.at_length)
