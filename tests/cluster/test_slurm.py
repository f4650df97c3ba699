"""The smoke scale through a real SLURM of one node: the same numbers as without it, whatever happens to jobs and submitter."""

import random
import time
from pathlib import Path

import pytest

from tests.cluster.disturbances import Pipeline, disturbed, here
from tests.cluster.slurm import Slurm, missing
from tests.test_pipeline import digests, measured

EXPERIMENTS = ("documents", "streaming")  # one that tunes and confirms, one that times

_ASKED = "JobID:10,MinMemory:10,OverSubscribe:12,tres-per-job:20,Comment:90"

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing()), reason=missing() or "SLURM is here"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with Slurm(tmp_path_factory.mktemp("slurm"), cores=2, gpus=2) as slurm:
        yield slurm


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The results of the same command without a cluster."""
    return here(tmp_path_factory.mktemp("here"), EXPERIMENTS)


def assert_same(results: Path, undisturbed: Path) -> None:
    """Checks every number that is no time, and what people see of them."""
    assert measured(results) == measured(undisturbed)
    seen = [digests(one / "smoke/documents/figures") for one in (results, undisturbed)]
    assert seen[0] == seen[1]


def test_smoke_on_slurm_is_smoke_here_number_for_number(cluster, undisturbed, tmp_path):
    asked: dict[str, list[str]] = {}
    pipeline = Pipeline(cluster, tmp_path, EXPERIMENTS)
    deadline = time.monotonic() + 900
    while not pipeline.ended():
        assert time.monotonic() < deadline, pipeline.said()
        for line in cluster.call("squeue", "-h", "-O", _ASKED).splitlines():
            asked[line.split()[0]] = line.split()[1:]
        time.sleep(0.2)
    assert pipeline.calls == 1, pipeline.said()
    assert_same(tmp_path, undisturbed)
    rules = {rule: tuple(more) for *more, rule in asked.values()}
    assert rules.pop("rule_documents_reference") == ("3000M", "OK", "N/A")
    assert rules.pop("rule_streaming_profile") == ("3000M", "NO", "gres:gpu:1")  # a node of its own
    analyses = [rules.pop(rule) for rule in list(rules) if rule.startswith("rule_analysis_")]
    assert len(analyses) == len(EXPERIMENTS), "the steps after the runs of an experiment are one job"
    assert set(rules.values()) == {("3000M", "OK", "gres:gpu:1")}
    assert all(rule.startswith(("rule_documents_tune", "rule_documents_confirm")) for rule in rules)


def test_whatever_happens_to_jobs_and_submitter_the_results_are_the_same(cluster, undisturbed, tmp_path):
    kinds = ["preemption", "kill", "cancel", "requeue"]
    met = disturbed(cluster, tmp_path, EXPERIMENTS, kinds, random.Random(0))
    assert {kind: met[kind] for kind in kinds} == dict.fromkeys(kinds, 1)
    assert met["calls"] == 2
    assert_same(tmp_path, undisturbed)
