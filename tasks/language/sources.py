"""Where the standard corpora come from: the Hugging Face Hub, a web address, or a local copy of either."""

import http.client
import re
import urllib.request
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tasks.draws import Split
from tasks.language.corpora import Prepared, share_of
from tasks.storage import data_folder, sha256_of

Labelled = Iterator[tuple[Split, bytes]]  # each document with the split it belongs to


class Share(NamedTuple):
    """Those documents of a split of the source whose digest, as a share of all digests, lies in [low, high)."""

    split: str
    low: float = 0.0
    high: float = 1.0


class HubSource(NamedTuple):
    """A set on the Hub, read by `datasets` in its stored order. Its rows have a `text`."""

    path: str
    config: str | None
    splits: Mapping[Split, Share]
    rows: Literal["documents", "lines"] = "documents"  # lines of articles, each of which begins with its heading


class UrlSource(NamedTuple):
    """One text in a zip archive at a web address, cut into train, validation and test bytes."""

    url: str
    sha256: str  # of the archive
    member: str
    sizes: tuple[int, int, int]


_OWN: Mapping[Split, Share] = {
    "train": Share("train"),
    "validation": Share("validation"),
    "test": Share("test"),
}

REMOTE: dict[Prepared, HubSource | UrlSource] = {
    "enwik8": UrlSource(
        "http://mattmahoney.net/dc/enwik8.zip",
        "547994d9980ebed1288380d652999f38a14fe291a6247c157c3d33d4932534bc",
        "enwik8",
        (90_000_000, 5_000_000, 5_000_000),
    ),
    "text8": UrlSource(
        "http://mattmahoney.net/dc/text8.zip",
        "a6640522afe85d1963ad56c05b0ede0a0c000dddc9671758a6cc09b7a38e5232",
        "text8",
        (90_000_000, 5_000_000, 5_000_000),
    ),
    "wikitext-103": HubSource("Salesforce/wikitext", "wikitext-103-raw-v1", _OWN, "lines"),
    "pg-19": HubSource("fla-hub/pg19", None, _OWN),
    "slimpajama-6b": HubSource("DKYoon/SlimPajama-6B", None, _OWN),
    # These hold out too little: what is held out is decided by the digest of the document.
    "tinystories": HubSource(
        "roneneldan/TinyStories",
        None,
        {
            "train": Share("train"),
            "validation": Share("validation", 0.0, 0.5),
            "test": Share("validation", 0.5, 1.0),
        },
    ),
    "fineweb-edu": HubSource(
        "HuggingFaceFW/fineweb-edu",
        "sample-10BT",
        {
            "train": Share("train", 0.0, 0.99),
            "validation": Share("train", 0.99, 0.995),
            "test": Share("train", 0.995, 1.0),
        },
    ),
}

MOVED = {
    "cerebras/SlimPajama-627B": "gone from the Hub since about February 2026: slimpajama-6b reads DKYoon/SlimPajama-6B",
    "deepmind/pg19": "a loading script, which datasets 4 and later refuse: pg-19 reads fla-hub/pg19",
    "LTCB/enwik8": "a loading script, which datasets 4 and later refuse: enwik8 is read from its web address",
}


def hub_documents(source: HubSource, theirs: str, mirror: Path | None) -> Labelled:
    """Yields the documents of one split of the source with the split of ours each belongs to.

    RuntimeError in one line where it cannot be read, ValueError where it is damaged.
    """
    rows = _rows(source, theirs, mirror)
    shares = {split: share for split, share in source.splits.items() if share.split == theirs}
    for text in _articles(rows) if source.rows == "lines" else rows:
        document = text.encode()
        place = share_of(document)
        for split, share in shares.items():
            if document and share.low <= place < share.high:
                yield split, document


def _rows(source: HubSource, theirs: str, mirror: Path | None) -> Iterator[str]:
    """Yields the text of every row. Streamed in order, never shuffled: one pass, without a second copy on disk."""
    datasets = library()
    kind = f"the {theirs} split of {source.path}"
    count = 0
    try:
        # Only a folder that is there, so that a mistyped one is never looked for on the Hub.
        place = source.path if mirror is None else str(mirror.resolve(strict=True))
        stored = datasets.load_dataset(place, source.config, split=theirs, streaming=True)
        for row in stored:
            if not isinstance(row.get("text"), str):
                raise ValueError(f"row {count} has no text")
            yield row["text"]
            count += 1
    except (OSError, RuntimeError, ValueError, KeyError, datasets.exceptions.DatasetsError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if mirror is None:
            raise RuntimeError(
                f"cannot read {kind} from the Hub: {reason}; where there is no network, copy that repository and name "
                f"the copy by --mirror DIR"
            ) from error
        raise ValueError(f"{mirror} is no sound copy of {source.path}, {kind} cannot be read: {reason}") from error
    promised = (stored.info.splits or {}).get(theirs)
    if promised is not None and promised.num_examples not in (None, count):
        raise ValueError(f"{kind} is cut short: {count} rows where its README.md promises {promised.num_examples}")


def _articles(lines: Iterable[str]) -> Iterator[str]:
    """Yields lines joined to articles: one begins at a heading of the first rank, " = Title = "."""
    article: list[str] = []
    for line in lines:
        if _HEADING.fullmatch(line) and any(map(str.strip, article)):
            yield "".join(article)
            article = []
        article.append(line)
    yield "".join(article)


_HEADING = re.compile(r" = [^=\n]+ = \n")


def url_documents(source: UrlSource, mirror: Path | None) -> Labelled:
    """Yields the text's three parts, each a document; ValueError in one line where archive or text is not the known one."""
    archive = download(source.url, source.sha256) if mirror is None else mirror / Path(source.url).name
    if not archive.is_file():
        raise ValueError(f"{archive} is missing: the mirror needs the file of {source.url}")
    if (found := sha256_of(archive)) != source.sha256:
        raise ValueError(f"{archive} has the SHA-256 {found}, not {source.sha256}: it is damaged, or another file")
    try:
        with zipfile.ZipFile(archive) as opened:
            text = opened.read(source.member)
    except (KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{archive} has no sound member {source.member}: {error}") from None
    if len(text) != sum(source.sizes):
        raise ValueError(f"{source.member} in {archive} has {len(text)} bytes, not {sum(source.sizes)}")
    train, validation, _ = source.sizes
    yield "train", text[:train]
    yield "validation", text[train : train + validation]
    yield "test", text[train + validation :]


def download(url: str, sha256: str) -> Path:
    """Returns the file in the data folder that the address serves; nothing is kept unless it is whole and the known one.

    RuntimeError in one line where it cannot be fetched or breaks off, ValueError where it is another file.
    """
    target = data_folder() / "downloads" / Path(url).name
    if target.is_file() and sha256_of(target) == sha256:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".part-{target.name}")
    remedy = f"try again, or fetch {target.name} elsewhere and name its folder by --mirror DIR"
    try:
        with urllib.request.urlopen(url, timeout=60) as answer, open(part, "wb") as file:
            promised = answer.headers.get("Content-Length")
            while block := answer.read(1 << 20):
                file.write(block)
        if promised is not None and part.stat().st_size != int(promised):
            raise RuntimeError(f"{url} broke off at {part.stat().st_size} of {promised} bytes: {remedy}")
        if (found := sha256_of(part)) != sha256:
            raise ValueError(f"{url} now serves another file, of SHA-256 {found}, not {sha256}: {remedy}")
        part.replace(target)
    except (OSError, http.client.HTTPException) as error:
        raise RuntimeError(f"cannot fetch {url}: {error}; {remedy}") from None
    finally:
        part.unlink(missing_ok=True)
    return target


def library() -> Any:
    """Returns the package `datasets`; imported here because only preparing needs it."""
    try:
        import datasets
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "sets of the Hub are read by a package that is missing: pip install '.[datasets]', or datasets==5.2.0"
        ) from None
    return datasets
