"""Corpora are read by the loader a user has, from a small copy on disk; what is damaged is one line and leaves nothing."""

import hashlib
import http.server
import json
import logging
import subprocess
import sys
import threading
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tasks import data as command
from tasks.language import sources
from tasks.language.corpora import corpus_folder, read, share_of
from tasks.language.memory_map import Writer, damages, read_documents, read_manifest
from tasks.language.modeling import LanguageModeling
from tasks.language.prepare import prepare
from tasks.language.sources import REMOTE, UrlSource, download

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def parquet():
    """Returns pyarrow's writer; the loader's package and its warnings, which are not ours, are met here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("datasets")
        import pyarrow
        import pyarrow.parquet

    return lambda rows, path, column="text": pyarrow.parquet.write_table(pyarrow.table({column: rows}), path)


@pytest.fixture
def mirror(tmp_path, parquet, monkeypatch):
    """Returns a function that lays out a folder like a repository of the Hub: front matter, and a file for each split."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    logging.getLogger("datasets").setLevel(logging.ERROR)

    def make(rows: dict[str, list[str]], *, config: str = "default", promised: dict[str, int] | None = None) -> Path:
        folder = tmp_path / "mirror"
        folder.mkdir(exist_ok=True)
        lines = ["---", "configs:", f"- config_name: {config}", "  data_files:"]
        for split, texts in rows.items():
            parquet(texts, folder / f"{split}.parquet")
            lines += [f"  - split: {split}", f"    path: {split}.parquet"]
        if promised:
            lines += ["dataset_info:", f"  config_name: {config}", "  splits:"]
            for split, count in promised.items():
                lines += [f"  - name: {split}", f"    num_bytes: {10 * count}", f"    num_examples: {count}"]
        (folder / "README.md").write_text("\n".join([*lines, "---", ""]))
        return folder

    return make


def made(corpus, mirror, **options):
    return prepare(corpus, **{"tokenizer": "bytes", "train_bytes": None} | options, mirror=mirror)


def texts(corpus: str, sha256: str) -> dict[str, list[bytes]]:
    return {
        split: [text_N[start : start + length].tobytes() for start, length in zip(starts_D, lengths_D, strict=True)]
        for split, (text_N, starts_D, lengths_D) in read(corpus, sha256).items()
    }


BOOKS = {
    "train": ["A first book.", "", "The second \u2014 longer.\n" * 9],
    "validation": ["Held out."],
    "test": ["Tested.", "Twice."],
}


@pytest.mark.parametrize("corpus", ["pg-19", "slimpajama-6b"])
def test_a_set_with_splits_of_its_own_keeps_its_documents_in_their_order(data, mirror, corpus):
    ready = made(corpus, mirror(BOOKS))
    expected = {split: [text.encode() for text in rows if text] for split, rows in BOOKS.items()}
    assert texts(corpus, ready.corpus_sha256) == expected
    task = LanguageModeling(
        name="language-modeling",
        corpus=corpus,
        corpus_sha256=ready.corpus_sha256,
        tokenizer=ready.tokenizer,
        documents="reset",
        length=5,
    )
    for split in SPLITS:
        for row in task.batch(split, 0, 9).tokens_BT.tolist():
            assert any(bytes(row) in text for text in expected[split])


def test_lines_of_wikitext_are_joined_to_articles(data, mirror):
    first = ["", " \n", " = Valkyria = \n", "", " A game . \n", " = = Story = = \n", " It began = so = it ended . \n"]
    second = [" = Robert Boulter = \n", "", " An actor . \n"]
    folder = mirror({"train": first + second, "validation": second, "test": second}, config="wikitext-103-raw-v1")
    found = texts("wikitext-103", made("wikitext-103", folder).corpus_sha256)
    # The blank lines before the first heading are no article of their own.
    assert found["train"] == ["".join(first).encode(), "".join(second).encode()]
    assert found["test"] == ["".join(second).encode()]


def test_what_a_set_holds_out_too_little_of_is_shared_by_digest(data, mirror):
    stories = [f"Story {number}." for number in range(60)]
    found = texts("tinystories", made("tinystories", mirror({"train": ["Once."], "validation": stories})).corpus_sha256)
    assert found["train"] == [b"Once."]
    assert found["validation"] == [text.encode() for text in stories if share_of(text.encode()) < 0.5]
    assert sorted(found["validation"] + found["test"]) == sorted(text.encode() for text in stories)
    pages = [f"Page {number}." for number in range(1200)]
    found = texts("fineweb-edu", made("fineweb-edu", mirror({"train": pages}, config="sample-10BT")).corpus_sha256)
    assert {len(found[split]) for split in ("validation", "test")} <= set(range(1, 15))
    assert sorted(text for split in SPLITS for text in found[split]) == sorted(text.encode() for text in pages)


def test_the_train_split_can_be_cut_after_a_document(data, mirror):
    folder = mirror(BOOKS)
    found = texts("pg-19", made("pg-19", folder, train_bytes=5).corpus_sha256)
    assert found == {"train": [b"A first book."], "validation": [b"Held out."], "test": [b"Tested.", b"Twice."]}


def test_the_same_copy_twice_is_the_same_text_and_its_digest_can_be_checked_by_hand(data, mirror):
    folder = mirror(BOOKS)
    ready = made("pg-19", folder)
    assert made("pg-19", folder) == ready
    place = corpus_folder("pg-19", ready.corpus_sha256)
    assert [path.name for path in (data / "corpora").iterdir()] == [place.name]
    line = subprocess.run(
        "LC_ALL=C sha256sum *.bin | sha256sum", shell=True, cwd=place, capture_output=True, check=True
    )
    assert line.stdout.decode().split()[0] == ready.corpus_sha256
    assert not damages(place)


def test_memory_maps_are_what_was_written(tmp_path):
    drawn = np.random.default_rng(0)
    written = {split: [drawn.integers(0, 60_000, size) for size in (3, 1, 400)] for split in SPLITS}
    writer = Writer(tmp_path, "<u2")
    for place in range(3):
        for split in SPLITS:
            writer.append(split, written[split][place])
    manifest = writer.finish(source="a test", versions={})
    assert read_manifest(tmp_path) == manifest
    for split, (text_N, starts_D, lengths_D) in read_documents(tmp_path, manifest).items():
        assert isinstance(text_N, np.memmap)
        assert text_N.tolist() == np.concatenate(written[split]).tolist()
        assert starts_D.tolist() == [0, 3, 4]
        assert lengths_D.tolist() == [3, 1, 400]


def nothing_is_left(data: Path) -> bool:
    return not [path for path in data.rglob("*") if path.is_file() and path.parent.name != "locks"]


def refused(match: str, corpus: str, folder: Path | None, error: type[Exception] = ValueError, **options) -> None:
    with pytest.raises(error, match=match) as found:
        made(corpus, folder, **options)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "test.parquet").write_bytes((folder / "test.parquet").read_bytes()[:-20]),
        lambda folder: (folder / "train.parquet").write_bytes(b"nonsense"),
        lambda folder: (folder / "validation.parquet").unlink(),
    ],
    ids=["truncated", "nonsense", "missing"],
)
def test_a_damaged_copy_is_one_line_and_leaves_nothing(data, mirror, damage):
    folder = mirror(BOOKS)
    damage(folder)
    refused("mirror is no sound copy of fla-hub/pg19, the (train|validation|test) split", "pg-19", folder)
    assert nothing_is_left(data)


def test_a_copy_of_another_kind_is_refused(data, mirror, tmp_path, parquet):
    refused("there is no such|No such file", "pg-19", tmp_path / "no-such-folder")
    folder = mirror(BOOKS)
    for split in SPLITS:
        parquet(["A book."], folder / f"{split}.parquet", column="body")
    refused("train split of fla-hub/pg19 cannot be read: row 0 has no text", "pg-19", folder)
    refused("test split of fla-hub/pg19 cannot be read", "pg-19", mirror({"train": ["a"], "validation": ["b"]}))
    refused("has no test document with any text", "pg-19", mirror(BOOKS | {"test": [""]}))
    assert nothing_is_left(data)


def test_a_copy_with_fewer_rows_than_it_promises_is_refused(data, mirror):
    complete = {split: len(rows) for split, rows in BOOKS.items()}
    assert made("pg-19", mirror(BOOKS, promised=complete))
    folder = mirror(BOOKS, promised=complete | {"train": 4})
    refused("train split of fla-hub/pg19 is cut short: 3 rows where its README.md promises 4", "pg-19", folder)


def test_without_a_network_a_set_names_the_mirror_option(data, mirror, monkeypatch, capsys):
    import datasets
    import huggingface_hub

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert command.main(["prepare", "wikitext-103"]) == 1
    line = capsys.readouterr().err
    assert line.startswith("error: cannot read the train split of Salesforce/wikitext from the Hub: Couldn't reach ")
    assert line.endswith("copy that repository and name the copy by --mirror DIR\n")
    assert line.count("\n") == 1


def test_without_the_loader_one_line_names_it(data, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    refused(r"missing: pip install '\.\[datasets\]', or datasets==5\.2\.0$", "pg-19", data, ModuleNotFoundError)


def test_a_corpus_that_is_not_prepared_names_the_command(data):
    with pytest.raises(ValueError, match=r"python -m tasks\.data prepare pg-19, with --mirror DIR where"):
        read("pg-19", "0" * 64)


TEN = b"0123456789"


def test_a_text_of_an_archive_is_cut_into_its_three_parts(data, copy):
    ready = made("text8", copy(TEN * 10))
    assert texts("text8", ready.corpus_sha256) == {"train": [TEN * 8], "validation": [TEN], "test": [TEN]}
    assert [REMOTE[name].sizes for name in ("enwik8",)] == [(90_000_000, 5_000_000, 5_000_000)]


def test_an_archive_that_is_missing_damaged_or_another_is_refused(data, copy, monkeypatch):
    folder = copy(TEN * 10)
    known = REMOTE["text8"]
    refused(r"enwik8\.zip is missing: the mirror needs the file of http", "enwik8", folder)
    monkeypatch.setitem(REMOTE, "text8", known._replace(sizes=(80, 10, 9)))
    refused("text8 in .* has 100 bytes, not 99", "text8", folder)
    monkeypatch.setitem(REMOTE, "text8", known._replace(member="text9"))
    refused("has no sound member text9", "text8", folder)
    archive = folder / "text8.zip"
    archive.write_bytes(archive.read_bytes()[:-30])
    monkeypatch.setitem(REMOTE, "text8", known)
    refused(f"has the SHA-256 .*, not {known.sha256}: it is damaged", "text8", folder)
    monkeypatch.setitem(REMOTE, "text8", known._replace(sha256=hashlib.sha256(archive.read_bytes()).hexdigest()))
    refused("has no sound member text8: ", "text8", folder)
    assert nothing_is_left(data)


@pytest.fixture
def server(tmp_path):
    """Serves /whole and /short, which promises more than it sends."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path in ("/whole", "/short") else 404)
            self.send_header("Content-Length", str(len(TEN) + (self.path == "/short")))
            self.end_headers()
            self.wfile.write(TEN)

        def log_message(self, *arguments):
            pass

    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{served.server_port}"
    served.shutdown()
    served.server_close()


def test_a_download_is_whole_and_the_known_file_or_is_not_kept(data, server):
    known = hashlib.sha256(TEN).hexdigest()
    for path, sha256, error, match in (
        ("short", known, RuntimeError, "broke off at 10 of 11 bytes: try again, or fetch short elsewhere"),
        ("whole", "0" * 64, ValueError, f"now serves another file, of SHA-256 {known}, not {'0' * 64}"),
        ("absent", known, RuntimeError, "cannot fetch .*/absent: HTTP Error 404"),
    ):
        with pytest.raises(error, match=match):
            download(f"{server}/{path}", sha256)
        assert nothing_is_left(data)
    file = download(f"{server}/whole", known)
    assert file.read_bytes() == TEN
    assert download("http://no.where.invalid/whole", known) == file
    with pytest.raises(RuntimeError, match="--mirror DIR"):
        download("http://no.where.invalid/other", known)


def test_every_address_has_its_checksum_and_every_share_is_whole():
    for source in REMOTE.values():
        if isinstance(source, UrlSource):
            assert len(source.sha256) == 64
            continue
        assert set(source.splits) == set(SPLITS)
        for split in {share.split for share in source.splits.values()}:
            shares = sorted(share for share in source.splits.values() if share.split == split)
            assert shares[0].low == 0
            assert shares[-1].high == 1
            assert all(one.high == other.low for one, other in pairwise(shares))


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (
            lambda place: (place / "train.bin").write_bytes(b"short"),
            "train.bin is damaged, it has 5 bytes where 80 were",
        ),
        (lambda place: (place / "test-ends.bin").unlink(), "test-ends.bin is damaged, it has 0 bytes where 8 were"),
        (
            lambda place: (place / "manifest.json").write_text("{"),
            "its manifest.json is no manifest: delete the folder",
        ),
        (lambda place: (place / "manifest.json").unlink(), "its manifest.json is no manifest: delete the folder"),
        (lambda place: swapped(place, "files", {}), "manifest.json lists other files"),
        (lambda place: swapped(place, "width", "<u2"), "its ends are of another text"),
        (lambda place: swapped_digest(place), "is not the digest of"),
        (lambda place: np.array([9], dtype="<i8").tofile(place / "test-ends.bin"), "its ends are of another text"),
    ],
)
def test_a_damaged_text_is_refused_when_it_is_opened(data, copy, damage, match):
    ready = made("text8", copy(TEN * 10))
    damage(corpus_folder("text8", ready.corpus_sha256))
    read.cache_clear()
    with pytest.raises(ValueError, match=match):
        read("text8", ready.corpus_sha256)


def swapped(place: Path, field: str, value: object) -> None:
    manifest = json.loads((place / "manifest.json").read_text())
    (place / "manifest.json").write_text(json.dumps(manifest | {field: value}))


def swapped_digest(place: Path) -> None:
    text = (place / "manifest.json").read_text()
    (place / "manifest.json").write_text(text.replace(hashlib.sha256(TEN).hexdigest(), "0" * 64))


def test_a_byte_that_changed_is_found_by_verifying_and_mended_by_preparing_again(data, copy, capsys):
    folder = copy(TEN * 10)
    ready = made("text8", folder, tokenizer="bytes")
    place = corpus_folder("text8", ready.corpus_sha256)
    (place / "train.bin").write_bytes(TEN * 7 + TEN[::-1])
    assert damages(place) == ["train.bin"]
    assert "damaged" not in shown(capsys, "status")
    assert f"train.bin in {place}" in shown(capsys, "status", "--verify")
    read.cache_clear()
    assert made("text8", folder) == ready
    assert damages(place) == []


def shown(capsys, *arguments: str) -> str:
    assert command.main(list(arguments)) == 0
    return capsys.readouterr().out


def test_status_says_what_is_present_missing_damaged_moved_and_unfinished(data, copy, capsys):
    lines = shown(capsys, "status").splitlines()
    assert lines[0] == f"data folder {data}"
    states = {line.split()[1]: line.split()[0] for line in lines[1:]}
    assert states["sotu"] == "present"
    assert {states[name] for name in REMOTE} == {"missing"}
    assert {states[name] for name in sources.MOVED} == {"moved"}
    assert "--mirror DIR" in next(line for line in lines if " pg-19 " in line)
    assert command.main(["prepare", "text8", "--mirror", str(copy(TEN * 300)), "--tokenizer", "bpe-257"]) == 0
    printed = capsys.readouterr().out
    sha256 = read("text8", printed.split()[3]) and printed.split()[3]
    (data / "corpora" / ".building-x").mkdir()
    found = shown(capsys, "status", "--verify").splitlines()
    assert any(line.startswith("present") and " text8 " in line and sha256 in line for line in found)
    assert any(line.startswith("present") and "text8 bpe-257-" in line for line in found)
    assert any(line.startswith("unfinished") for line in found)
    (corpus_folder("text8", sha256) / "test.bin").write_bytes(b"")
    assert any(line.startswith("damaged") and " text8 " in line for line in shown(capsys, "status").splitlines())


def test_the_command_prints_what_a_task_states_and_an_error_is_one_line(data, copy, capsys):
    folder = copy(TEN * 10)
    assert command.main(["prepare", "text8", "--mirror", str(folder)]) == 0
    printed = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert printed["corpus"] == "text8"
    assert json.loads(printed["tokenizer"]) == {"name": "bytes"}
    assert read("text8", printed["corpus_sha256"])
    for arguments in (
        ["enwik8", "--mirror", str(folder)],
        ["text8", "--tokenizer", "bpe-12"],
        ["text8", "--tokenizer", "x"],
    ):
        assert command.main(["prepare", *arguments]) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("error: ")
        assert captured.err.count("\n") == 1


def test_a_call_that_is_cut_leaves_nothing_that_is_read(data, copy, monkeypatch):
    folder = copy(TEN * 10)

    def cut(self, *arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Writer, "finish", cut)
        with pytest.raises(KeyboardInterrupt):
            made("text8", folder)
    assert nothing_is_left(data)
    assert not list((data / "corpora").iterdir())
