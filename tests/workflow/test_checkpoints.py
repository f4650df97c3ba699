"""A checkpoint is whole or passed over, and the last two are there, whatever was damaged before."""

import errno
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow.checkpoints import Checkpoint, read_shards

CPU = torch.device("cpu")


def saved(folder, *steps):
    checkpoint = Checkpoint(folder)
    for step in steps:
        checkpoint.save(step, {"x": torch.full((50,), float(step))}, company=["a", "b"])
    return checkpoint


def test_the_last_two_are_kept(tmp_path):
    checkpoint = saved(tmp_path, 1, 5, 9)
    assert checkpoint.steps() == [9, 5]
    assert checkpoint.manifest(9)["company"] == ["a", "b"]
    assert torch.equal(checkpoint.load(9, CPU)["x"], torch.full((50,), 9.0))
    assert not list(tmp_path.glob(".*"))


@settings(max_examples=40, deadline=None)
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), cut=st.booleans())
def test_a_file_cut_or_changed_anywhere_is_told_of_and_passed_over(tmp_path_factory, where, bit, cut):
    folder = tmp_path_factory.mktemp("damaged")
    saved(folder, 1, 2)
    path = folder / "00000002" / "state.pt"
    content = bytearray(path.read_bytes())
    at = int(where * len(content))
    if cut:
        del content[at:]
    else:
        content[at] ^= 1 << bit
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="is damaged"):
        assert Checkpoint(folder).steps() == [1]


@pytest.mark.parametrize("text", [None, "", "{", "[]", "{}", '{"files": {"gone.pt": "0"}}'])
def test_a_manifest_that_is_missing_or_half_is_told_of_and_passed_over(tmp_path, text):
    saved(tmp_path, 1, 2)
    manifest = tmp_path / "00000002" / "manifest.json"
    manifest.unlink()
    if text is not None:
        manifest.write_text(text, encoding="utf-8")
    with pytest.warns(UserWarning, match="is damaged"):
        assert Checkpoint(tmp_path).steps() == [1]


def test_two_whole_ones_are_there_again_after_the_last_was_damaged(tmp_path):
    saved(tmp_path, 10, 20)
    (tmp_path / "00000020" / "state.pt").write_bytes(b"")
    checkpoint = Checkpoint(tmp_path)
    with pytest.warns(UserWarning, match="is damaged"):
        assert checkpoint.steps() == [10]
    for step in (11, 12):
        checkpoint.save(step, {}, company=["a"])
    assert checkpoint.steps() == [12, 11]


def test_a_write_that_fails_leaves_those_before(tmp_path):
    checkpoint = saved(tmp_path, 1, 2)

    def full(folder):
        (folder / "state.pt").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        checkpoint.write(3, company=["a"], put=full)
    assert checkpoint.steps() == [2, 1]
    assert not list(tmp_path.glob(".*"))


def test_the_manifest_counts_how_often_a_run_was_continued(tmp_path):
    saved(tmp_path, 1)
    for times in (1, 2):
        checkpoint = Checkpoint(tmp_path)
        checkpoint.load(times, CPU)
        checkpoint.save(times + 1, {}, company=["a"])
        manifest = json.loads((tmp_path / f"{times + 1:08}" / "manifest.json").read_text(encoding="utf-8"))
        assert manifest["continuation"] == times + 1


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_shards_go_along_to_the_run_that_goes_on_from_them(tmp_path):
    first, second = Checkpoint(tmp_path / "first"), Checkpoint(tmp_path / "second")
    first.save(3, {"shards": {"w": torch.arange(6.0)}, "since": 2}, company=["first"])
    second.inherit(first, 3, CPU, company=["second"])
    first.remove()
    (step,) = second.steps()
    content, found = second.load(step, CPU), {"w": torch.zeros(6)}
    read_shards(content["shards"], into=found)
    assert (content["since"], found["w"].tolist()) == (2, [0, 1, 2, 3, 4, 5])
    assert second.resumed == 0
