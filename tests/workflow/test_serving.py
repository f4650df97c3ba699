"""What a process leaves behind, and what it tells meanwhile."""

import json
import re
import threading
import time

import pytest

from workflow import progress as progress_module
from workflow.files import write
from workflow.leases import Leases
from workflow.plans import plan, write_plan
from workflow.progress import Progress, clock
from workflow.results import Measurement, Outcome, read_result
from workflow.runs import ReferenceRun
from workflow.serving import one_by_one, serve, work

PLAN = plan("recall", scale="smoke")
REFERENCES = [planned for planned in PLAN.runs if planned.role == "reference"]


def outcome(desk) -> Outcome:
    return Outcome("finished", "", (Measurement(name="accuracy", value=0.5, unit="fraction"),))


def reference(folders, execute):
    serve(folders, kind=ReferenceRun, execute=one_by_one(execute), progress=Progress(None, total=len(folders)))


def folders(tmp_path):
    write_plan(PLAN, results=tmp_path)
    return [tmp_path / "runs" / planned.id for planned in REFERENCES]


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "result.json"
    write(path, "old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(path, "new")
    assert path.read_text(encoding="utf-8") == "old"


def test_a_number_that_is_none_is_refused():
    with pytest.raises(ValueError, match="finite number"):
        Measurement(name="loss", value=float("nan"), unit="bit")


def no_thread(_):
    raise RuntimeError("can't start new thread")  # as Python says it where there is no memory for one


def test_a_process_without_memory_for_a_thread_says_so_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    first, *_ = folders(tmp_path)
    with pytest.raises(SystemExit, match=rf"^error: {first}: no memory, or no process, is left .*; what was saved"):
        work([first], kind=ReferenceRun, execute=one_by_one(outcome), progress=Progress(None, total=1))
    assert not (first / "result.json").exists()


def test_memory_that_runs_out_between_runs_is_told_in_one_line_and_the_finished_runs_stay(tmp_path):
    first, second = folders(tmp_path)

    def spent(desk):
        if desk.folder == second:
            raise MemoryError
        return outcome(desk)

    progress = Progress(None, total=2)
    with pytest.raises(
        SystemExit, match=rf"^error: {first}: no memory is left; what was saved before is whole, call again"
    ):
        work([first, second], kind=ReferenceRun, execute=one_by_one(spent), progress=progress)
    assert (first / "result.json").exists()
    work([first, second], kind=ReferenceRun, execute=one_by_one(outcome), progress=progress)
    assert (second / "result.json").exists()


def test_a_mistake_ends_the_process_and_leaves_the_finished_runs(tmp_path):
    first, second = folders(tmp_path)

    def broken(desk):
        if desk.folder == second:
            raise ZeroDivisionError("a mistake in the code")
        return outcome(desk)

    with pytest.raises(ZeroDivisionError):
        reference([first, second], broken)
    assert read_result(first / "result.json").status == "finished"
    assert not (second / "result.json").exists()


def test_what_a_killed_process_was_writing_is_cleared_away(tmp_path):
    folder = folders(tmp_path)[0]
    for name in (".result.json.123", ".mine"):
        (folder / name).write_text("half", encoding="utf-8")
    (folder / "checkpoints" / ".incoming.123").mkdir(parents=True)
    reference([folder], outcome)
    assert {path.name for path in folder.glob(".*")} == {".mine", ".lease.1"}
    assert not (folder / "checkpoints").exists()


def test_a_second_process_waits_for_the_first_and_then_has_nothing_to_do(tmp_path):
    folder = folders(tmp_path)[0]
    served = []

    def counting(desk):
        served.append(desk.folder)
        return outcome(desk)

    with Leases() as leases:
        leases.take(folder)
        thread = threading.Thread(target=reference, args=([folder], counting))
        thread.start()
        time.sleep(0.3)
        assert served == []
    thread.join()
    reference([folder], counting)
    assert served == [folder]


def test_a_result_says_where_it_was_made(tmp_path):
    folder = folders(tmp_path)[0]
    reference([folder], outcome)
    result = read_result(folder / "result.json")
    assert result.id == folder.name
    made = result.provenance
    assert re.fullmatch(r"[0-9a-f]{12}\+?|", made.commit)
    assert made.torch.startswith("2.")
    assert made.memory_bytes > 2**28
    assert made.seconds >= 0


def test_progress_tells_the_share_done_and_the_time_left(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress_module, "_SECONDS_BETWEEN_LINES", 0.0)
    write_plan(PLAN, results=tmp_path)
    trained = [planned for planned in PLAN.runs if planned.role == "tune"]
    for planned in trained[:3]:
        made = {"provenance": {"seconds": 10.0}}
        write(tmp_path / "runs" / planned.id / "result.json", json.dumps(made))
    tell = Progress(tmp_path / "smoke", total=2).of(trained[3].run, tmp_path)
    tell(5, 2.5, [])
    capsys.readouterr()
    tell(10, 1.5, [])
    told = capsys.readouterr().err
    assert "0 of 2 runs done, step 10 of 20, loss 1.5" in told
    assert " sequences/s, at most 0:0" in told
    assert f"all: 3 of {len(PLAN.runs)} runs, about " in told
    assert told.endswith(" left\n")


@pytest.mark.parametrize(("seconds", "told"), [(5, "0:05"), (65, "1:05"), (3661, "1:01:01")])
def test_durations_are_told_as_on_a_clock(seconds, told):
    assert clock(seconds) == told
