from hypothesis import strategies as st

from tasks.documents.attribution import DocumentAttribution
from tasks.documents.matching import DocumentMatching
from tasks.documents.needle import TextNeedle
from tasks.documents.task import DocumentTask
from tasks.documents.variables import TextVariables
from tasks.language.corpora import SOURCES
from tests.tasks.rows import Row

SHA256 = SOURCES["sotu"].sha256
CORPUS = {"corpus": "sotu", "corpus_sha256": SHA256}
OTHER = {"corpus": "enwik8", "corpus_sha256": "0" * 64}
WRONG = {"name": 1, "corpus": None, "corpus_sha256": 0}


def matching(piece=128, negatives="any") -> DocumentMatching:
    return DocumentMatching(name="document-matching", piece=piece, negatives=negatives, **CORPUS)


def attribution(label="president", length=500) -> DocumentAttribution:
    return DocumentAttribution(name="document-attribution", label=label, length=length, **CORPUS)


def needle(length=320, names=3, values=2, queries=2, digits=4, depth=None) -> TextNeedle:
    fields = {"length": length, "names": names, "values": values, "queries": queries, "digits": digits, "depth": depth}
    return TextNeedle(name="text-needle", **fields, **CORPUS)


def variables(length=320, chains=3, hops=2, digits=2) -> TextVariables:
    fields = {"length": length, "chains": chains, "hops": hops, "digits": digits}
    return TextVariables(name="text-variables", **fields, **CORPUS)


ROWS = {
    DocumentMatching: Row(
        matching(),
        OTHER | {"name": "recall", "piece": 129, "negatives": "half-century"},
        WRONG | {"piece": 128.5, "negatives": 50},
        322,
        {"train": "b5045a0317de21b4", "validation": "83901aa94f941dfb", "test": "5e6c854a2fc073b6"},
    ),
    DocumentAttribution: Row(
        attribution(),
        OTHER | {"name": "recall", "label": "half-century", "length": 501},
        WRONG | {"label": 0, "length": "500"},
        600,
        {"train": "aa5254c31200a169", "validation": "14a2f25640151a94", "test": "dfbb641fc6fdd4ac"},
    ),
    TextNeedle: Row(
        needle(),
        OTHER | {"name": "recall", "length": 321, "names": 2, "values": 1, "queries": 1, "digits": 3, "depth": 0.5},
        WRONG | {"length": 320.5, "names": "3", "values": True, "queries": None, "digits": 4.5, "depth": "0.5"},
        500,
        {"train": "47483edd65044a50", "validation": "543f1c5e315a1435", "test": "01510ae913e7f1eb"},
    ),
    TextVariables: Row(
        variables(),
        OTHER | {"name": "recall", "length": 321, "chains": 2, "hops": 1, "digits": 3},
        WRONG | {"length": None, "chains": [3], "hops": 2.5, "digits": "2"},
        500,
        {"train": "567a287586c5413b", "validation": "6ab0237f2a83534e", "test": "845f65765d78b308"},
    ),
}


def _needle(names: int, values: int, queries: int, digits: int, spare: int, depth: float | None) -> DocumentTask:
    fields = {"names": names, "values": values, "queries": min(queries, names), "digits": digits, "depth": depth}
    return needle(length=names * values * (38 + 2 * digits) + 7 * names + spare, **fields)


def _variables(chains: int, hops: int, digits: int, spare: int) -> DocumentTask:
    return variables(length=chains * (1 + hops) * 30 + 12 + spare, chains=chains, hops=hops, digits=digits)


SPECS = st.one_of(
    st.builds(matching, st.integers(128, 3000), st.sampled_from(["any", "half-century"])),
    st.builds(attribution, st.sampled_from(["president", "half-century"]), st.integers(300, 9000)),
    st.builds(
        _needle,
        st.integers(1, 5),
        st.integers(1, 4),
        st.integers(1, 5),
        st.integers(1, 8),
        st.integers(0, 900),
        st.none() | st.floats(0, 1),
    ),
    st.builds(_variables, st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), st.integers(0, 900)),
)
