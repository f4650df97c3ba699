"""Data of the test's own: a folder for it, and small copies of the repositories and files it comes from."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from tasks.language import modeling, tokens
from tasks.language.corpora import read
from tasks.language.sources import REMOTE, UrlSource

CACHES = (read, tokens.read_tokens, tokens.read_token_bytes, modeling._windows)


@pytest.fixture
def data(tmp_path, monkeypatch) -> Path:
    """Returns an empty data folder, and forgets what was read before and will be read now."""
    monkeypatch.setenv("TRIAL_DATA", str(tmp_path / "data"))
    for cache in CACHES:
        cache.cache_clear()
    yield tmp_path / "data"
    for cache in CACHES:
        cache.cache_clear()


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """Returns a function that makes a copy of text8 with this text, of which the last two tenths are held out."""

    def make(text: bytes) -> Path:
        folder = tmp_path / "copy"
        folder.mkdir(exist_ok=True)
        with zipfile.ZipFile(folder / "text8.zip", "w") as archive:
            archive.writestr(zipfile.ZipInfo("text8"), text)
        sha256 = hashlib.sha256((folder / "text8.zip").read_bytes()).hexdigest()
        held_out = len(text) // 10
        sizes = (len(text) - 2 * held_out, held_out, held_out)
        monkeypatch.setitem(REMOTE, "text8", UrlSource("http://no.where.invalid/text8.zip", sha256, "text8", sizes))
        return folder

    return make
