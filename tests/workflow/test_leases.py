"""One writer per folder: among threads, processes that die, machines that hang, and file systems that are slow to tell."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from workflow import interruption, leases
from workflow.leases import Leases, LostLease, Said, visible
from workflow.plans import plan, write_plan
from workflow.progress import Progress
from workflow.results import Measurement, Outcome
from workflow.runs import ReferenceRun
from workflow.serving import one_by_one, serve

ROOT = Path(__file__).parent.parent.parent
HELD = "from pathlib import Path; from workflow.leases import Leases; import sys, time\n"
HELD += "with Leases() as held:\n held.take(Path(sys.argv[1])); print('held', flush=True); time.sleep(100)"


def elsewhere(folder: Path, number: int, **more: object) -> None:
    """Leaves the lease of a process on another machine."""
    said = Said("node7:41", "another machine")._replace(**more)
    (folder / f"{leases.NAME}{number}").write_text(json.dumps(said._asdict()), encoding="utf-8")


def lasts(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob(f"{leases.NAME}*"))


def holding(folder: Path) -> subprocess.Popen:
    """Starts a process that holds the folder."""
    process = subprocess.Popen([sys.executable, "-c", HELD, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_what_was_let_go_is_taken_at_once(tmp_path):
    with Leases() as first, Leases() as second:
        first.take(tmp_path)
        first.let_go(tmp_path, done=True)
        assert not second.take(tmp_path)  # what this machine has done it sees
    assert lasts(tmp_path) == [".lease.2"]


def test_what_another_machine_has_done_is_told(tmp_path):
    with Leases() as mine:
        elsewhere(tmp_path, 1, released=True, done=True)
        assert mine.take(tmp_path)
        elsewhere(tmp_path, 3, released=True)
        assert not mine.take(tmp_path)


def test_a_holder_that_lives_is_waited_for_and_one_that_was_killed_is_not(tmp_path, capsys):
    process = holding(tmp_path)
    with Leases() as waiting:
        taken = threading.Event()
        thread = threading.Thread(target=lambda: (waiting.take(tmp_path), taken.set()))
        thread.start()
        assert not taken.wait(0.5)
        process.kill()
        assert taken.wait(5)
        thread.join()
    process.communicate()
    assert f"is held by {os.uname().nodename}:{process.pid}: waiting until it is done" in capsys.readouterr().err


def test_a_lease_of_another_machine_runs_out_when_nobody_renews_it(tmp_path):
    elsewhere(tmp_path, 4)
    started = time.monotonic()
    with Leases(expiry=0.5) as mine:
        assert not mine.take(tmp_path)
        assert time.monotonic() - started >= 0.5
        assert lasts(tmp_path) == [".lease.5"]


def test_a_lease_that_is_renewed_does_not_run_out(tmp_path):
    elsewhere(tmp_path, 1)
    over = threading.Event()

    def renew():
        count = 0
        while not over.wait(0.1):
            count += 1
            elsewhere(tmp_path, 1, renewed=count)

    renewing = threading.Thread(target=renew)
    renewing.start()
    with Leases(expiry=0.6) as mine:
        thread = threading.Thread(target=mine.take, args=(tmp_path,))
        thread.start()
        thread.join(1.5)
        assert thread.is_alive()
        over.set()
        renewing.join()
        thread.join(5)
        assert not thread.is_alive()


def test_a_holder_renews_for_as_long_as_it_lives(tmp_path):
    with Leases(renewal=0.05) as mine:
        mine.take(tmp_path)
        before = (tmp_path / ".lease.1").read_text(encoding="utf-8")
        deadline = time.monotonic() + 10
        while (tmp_path / ".lease.1").read_text(encoding="utf-8") == before:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_who_made_a_lease_and_died_before_it_said_anything_is_not_waited_for_long(tmp_path):
    (tmp_path / ".lease.1").touch()
    with Leases(expiry=0.3) as mine:
        assert not mine.take(tmp_path)


def test_who_was_taken_over_learns_of_it_before_it_writes(tmp_path):
    with Leases() as mine:
        mine.take(tmp_path)
        mine.check(tmp_path)
        elsewhere(tmp_path, 2)
        with pytest.raises(LostLease, match="was taken over by node7:41: this process had not said for 120 s"):
            mine.check(tmp_path)


def test_a_number_that_was_free_again_gives_nobody_the_folder_of_who_holds_a_later_one(tmp_path):
    elsewhere(tmp_path, 3)
    with Leases() as mine:
        assert not mine._make(tmp_path, 2)
        with pytest.raises(LostLease):
            mine.check(tmp_path)
    assert lasts(tmp_path) == [".lease.3"]


def test_a_process_that_is_asked_to_stop_waits_no_longer(tmp_path, monkeypatch):
    elsewhere(tmp_path, 1)
    monkeypatch.setattr(interruption, "_asked", True)
    with Leases() as mine, pytest.raises(interruption.Interrupted):
        mine.take(tmp_path)


def test_of_many_processes_one_at_a_time_holds_a_folder(tmp_path):
    code = "from pathlib import Path; from workflow.leases import Leases; import os, sys, time\n"
    code += "folder = Path(sys.argv[1])\nwith Leases() as mine:\n for _ in range(20):\n  mine.take(folder)\n"
    code += "  os.mkdir(folder / 'one'); time.sleep(.002); os.rmdir(folder / 'one'); mine.let_go(folder)"
    started = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT) for _ in range(4)]
    assert [process.wait(60) for process in started] == [0] * 4
    assert lasts(tmp_path) == [".lease.80"]


def test_a_file_that_shows_up_late_is_waited_for_and_one_that_does_not_is_not(tmp_path):
    path = tmp_path / "result.json"
    naps = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            path.touch()

    assert visible(path, sleep=nap)
    assert len(naps) == 3
    assert not visible(tmp_path / "never.json", wait=0.0)


@pytest.fixture
def run(tmp_path) -> Path:
    planned = plan("recall", scale="smoke")
    write_plan(planned, results=tmp_path)
    return tmp_path / "runs" / next(one.id for one in planned.runs if one.role == "reference")


def served(folder: Path, during=lambda: None) -> int:
    """Returns how many runs a process executed."""
    count = 0

    def execute(desk) -> Outcome:
        nonlocal count
        count += 1
        during()
        return Outcome("finished", "", (Measurement(name="accuracy", value=0.5, unit="fraction"),))

    serve([folder], kind=ReferenceRun, execute=one_by_one(execute), progress=Progress(None, total=1))
    return count


def test_a_result_that_another_machine_has_left_is_not_made_again_because_it_shows_up_late(run):
    assert served(run) == 1
    result = run / "result.json"
    content = result.read_bytes()
    result.unlink()
    elsewhere(run, 2, released=True, done=True)
    threading.Timer(0.5, lambda: result.write_bytes(content)).start()
    assert served(run) == 0


def test_a_result_that_was_deleted_is_made_again_at_once(run):
    assert served(run) == 1
    (run / "result.json").unlink()
    started = time.monotonic()
    assert served(run) == 1
    assert time.monotonic() - started < 10


def test_who_was_taken_over_leaves_no_result(run):
    with pytest.raises(LostLease):
        served(run, during=lambda: elsewhere(run, 2))
    assert not (run / "result.json").exists()
