"""Claims: what a file of claims may say, what each verdict takes, and how often chance alone is called evidence."""

import functools
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests.workflow.synthetic import leave_results, recall_plan
from tests.workflow.test_figures import COST
from workflow.claims.evidence import Tables
from workflow.claims.files import all_claims, claims_of, digest, digests, keep, kept
from workflow.claims.selection import addressed, selected
from workflow.claims.specs import Region
from workflow.claims.verdicts import COLUMNS, leaning, verdicts
from workflow.estimates import estimates
from workflow.measurements import measurements
from workflow.planfile import read_plan
from workflow.plans import experiment_names, plan_of
from workflow.scaling.laws import laws
from workflow.scaling.lines import lines, samples
from workflow.scaling.pairs import crossovers
from workflow.statistics.means import Estimate

NONE = pd.DataFrame()
BEHAVED = pd.DataFrame({"control": ["oracle", "duplicate"], "behaved": ["yes", "yes"]})
FILE = """
family: recall
claims:
  - id: {id}
    statement: mLSTM recalls more than attention.
    source: a paper
    scope: a test
    estimand:
      kind: contrast
      experiment: recall
      metric: accuracy
      where: {{task.pairs: most}}
      plus: [{{network.mixer.name: mlstm, network.mixer.key_dim: most}}]
      minus: [{{network.mixer.name: attention}}]
    claimed: {claimed}
    preconditions: {preconditions}
"""


def stated(*, id="a-claim", claimed="{above: 0}", preconditions="{}"):
    return claims_of(FILE.format(id=id, claimed=claimed, preconditions=preconditions), "recall.yaml")


@functools.cache
def _made(tmp):
    plan = recall_plan()
    leave_results(plan, tmp)
    folder = tmp / "quick" / "recall"
    return read_plan(folder / "plan.json"), measurements(read_plan(folder / "plan.json"), runs=tmp / "runs")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return _made(tmp_path_factory.mktemp("results"))


def tables(made, scores, *, deviation=0.0, rng=None, controls=BEHAVED, **changed):
    """Returns what is known where each test accuracy is its mixer's score, with noise between runs."""
    plan, rows = made
    rows = rows.copy()
    tests = (rows["name"] == "accuracy") & (rows["at.split"] == "test")
    noise = {run: (rng or np.random.default_rng(0)).normal(0, deviation) if deviation else 0.0 for run in rows["run"]}
    rows.loc[tests, "value"] = rows.loc[tests, "network.mixer.name"].map(scores) + rows.loc[tests, "run"].map(noise)
    for column, value in changed.items():
        rows[column] = value
    return {"recall": Tables(plan, rows, NONE, NONE, controls)}


def judged(claims, known):
    return verdicts(tuple(claims), known, archive={})


def spread(made, low, high):
    """Returns the tables where three seeds of each mixer lie around its score."""
    found = tables(made, {"attention": low, "mlstm": high})
    rows = found["recall"].measurements
    tests = (rows["name"] == "accuracy") & (rows["at.split"] == "test")
    rows.loc[tests, "value"] += rows.loc[tests, "seed"].map({1: -0.05, 2: 0.0, 3: 0.05})
    return found


@pytest.mark.parametrize(
    ("low", "high", "claimed", "verdict"),
    [
        (0.5, 0.8, "{above: 0}", "supported"),
        (0.8, 0.5, "{above: 0}", "refuted"),
        (0.5, 0.505, "{above: 0}", "inconclusive"),
        (0.5, 0.8, "{below: 0}", "refuted"),
        (0.8, 0.5, "{below: 0}", "supported"),
        (0.5, 0.501, "{between: [-0.2, 0.2]}", "supported"),
        (0.4, 0.9, "{between: [-0.2, 0.2]}", "refuted"),
        (0.5, 0.65, "{between: [-0.2, 0.2]}", "inconclusive"),
    ],
)
def test_planted_effects_reach_every_verdict(made, low, high, claimed, verdict):
    row = judged(stated(claimed=claimed), spread(made, low, high)).iloc[0]
    assert row["verdict"] == verdict
    assert row["value"] == pytest.approx(high - low)
    assert row["low"] < row["value"] < row["high"]
    assert row["n"] == 3
    assert verdict in row["sentence"].lower()


def test_a_difference_is_welchs(made):
    from scipy import stats

    row = judged(stated(), spread(made, 0.5, 0.55)).iloc[0]
    one, other = (np.array([-0.05, 0.0, 0.05]) + score for score in (0.55, 0.5))
    assert row["p"] == pytest.approx(stats.ttest_ind(one, other, equal_var=False).pvalue)


def test_what_is_inconclusive_says_what_could_have_been_told(made):
    row = judged(stated(), spread(made, 0.5, 0.51)).iloc[0]
    assert row["verdict"] == "inconclusive"
    assert row["detectable"] > 0.01
    assert row["seeds_needed"] > 3
    assert f"{row['seeds_needed']:.0f} seeds would tell" in row["sentence"]


def test_a_family_shares_its_rate_of_errors(made):
    known = spread(made, 0.5, 0.65)
    alone = judged(stated(), known).iloc[0]
    family = judged([claim for place in range(20) for claim in stated(id=f"claim-{place}")], known)
    assert alone["verdict"] == "supported"
    assert set(family["verdict"]) == {"inconclusive"}
    assert family["p_holm"].iloc[0] == pytest.approx(20 * alone["p"])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda rows: rows[rows["run"] != rows.loc[rows["role"] == "confirm", "run"].iloc[0]], "planned runs have no"),
        (lambda rows: rows.assign(status=rows["status"].where(rows["role"] != "confirm", "diverged")), "runs failed"),
        (lambda rows: rows.assign(name=rows["name"].replace("accuracy", "beauty")), "no run has measured accuracy"),
        (lambda rows: rows.assign(**{"task.pairs": math.nan}), "where task.pairs is most"),
    ],
)
def test_a_result_that_is_missing_or_edited_keeps_its_claims_from_being_judged(made, change, told):
    known = spread(made, 0.5, 0.8)
    known["recall"] = replace(known["recall"], measurements=change(known["recall"].measurements))
    row = judged(stated(), known).iloc[0]
    assert row["verdict"] == "not evaluable"
    assert told in row["reason"]


def test_failures_that_a_claim_allows_are_the_worst_outcome(made):
    known = spread(made, 0.5, 0.8)
    rows = known["recall"].measurements
    mine = rows[(rows["role"] == "confirm") & (rows["network.mixer.key_dim"] == 16) & (rows["task.pairs"] == 8)]
    lost = rows["run"] == mine["run"].iloc[0]
    rows = rows.assign(status=rows["status"].where(~lost, "diverged"))
    known["recall"] = replace(known["recall"], measurements=rows[~(lost & (rows["name"] == "accuracy"))])
    row = judged(stated(preconditions="{failures: 0.5}"), known).iloc[0]
    assert row["value"] < 0.2
    assert "counted as the worst outcome" in row["reason"]


@pytest.mark.parametrize(
    ("preconditions", "told"),
    [
        ("{seeds: 4}", "3 seeds of a network, and the claim asks for 4"),
        ("{matched: {parameters: 0.000001}}", "the networks differ in parameters"),
        ("{matched: {beauty: 0.1}}", "beauty was not measured"),
        ("{interior: true}", ""),
    ],
)
def test_preconditions_are_looked_at(made, preconditions, told):
    row = judged(stated(preconditions=preconditions), spread(made, 0.5, 0.8)).iloc[0]
    assert (row["verdict"] == "not evaluable") == bool(told)
    assert told in row["reason"]


def test_a_rate_at_the_grids_edge_is_said_or_where_asked_refused(made):
    known = spread(made, 0.5, 0.8)
    known["recall"] = replace(
        known["recall"], measurements=known["recall"].measurements.assign(**{"optimizer.learning_rate": 0.01})
    )
    said = judged(stated(), known).iloc[0]
    assert said["verdict"] == "supported"
    assert "lowest or highest tried for attention, mlstm" in said["reason"]
    assert judged(stated(preconditions="{interior: true}"), known)["verdict"].iloc[0] == "not evaluable"


def test_where_a_control_does_not_behave_nothing_is_judged(made):
    controls = pd.DataFrame({"control": ["oracle", "duplicate"], "behaved": ["yes", "no"]})
    known = tables(made, {"attention": 0.5, "mlstm": 0.8}, controls=controls)
    row = judged(stated(), known).iloc[0]
    assert row["verdict"] == "not evaluable"
    assert "a control did not behave (duplicate)" in row["reason"]


def test_where_it_is_not_known_that_controls_behaved_nothing_is_judged(made):
    row = judged(stated(), tables(made, {"attention": 0.5, "mlstm": 0.8}, controls=NONE)).iloc[0]
    assert row["verdict"] == "not evaluable"
    assert "whether its controls behaved is not known" in row["reason"]


def test_a_claim_of_no_network_is_refused(made):
    text = FILE.format(id="a-claim", claimed="{above: 0}", preconditions="{}")
    text = text.replace("{network.mixer.name: mlstm, network.mixer.key_dim: most}", "{predictor: oracle}")
    text = text.replace("minus: [{network.mixer.name: attention}]", "minus: [{predictor: constant}]")
    row = judged(claims_of(text, "recall.yaml"), spread(made, 0.5, 0.8)).iloc[0]
    assert "no network is meant" in row["reason"]


def test_a_selection_of_several_networks_is_refused_by_name(made):
    text = FILE.format(id="a-claim", claimed="{above: 0}", preconditions="{}").replace(
        ", network.mixer.key_dim: most", ""
    )
    row = judged(claims_of(text, "recall.yaml"), spread(made, 0.5, 0.8)).iloc[0]
    assert "they differ in network.mixer.key_dim" in row["reason"]


def test_seeds_that_all_agree_are_no_proof(made):
    row = judged(stated(), tables(made, {"attention": 0.5, "mlstm": 0.5 + 1 / 512})).iloc[0]
    assert row["verdict"] == "inconclusive"
    assert row["high"] > row["low"]


def test_runs_that_serve_both_sides_are_paired(made):
    claim = claims_of(
        FILE.format(id="a-claim", claimed="{above: 0}", preconditions="{}")
        .replace("where: {task.pairs: most}", "where: {network.mixer.name: attention, task.pairs: most}")
        .replace("{network.mixer.name: mlstm, network.mixer.key_dim: most}", "{at.length: 64}")
        .replace("minus: [{network.mixer.name: attention}]", "minus: [{at.length: 32}]"),
        "recall.yaml",
    )
    known = spread(made, 0.5, 0.8)
    rows = known["recall"].measurements
    tests = rows[(rows["name"] == "accuracy") & (rows["at.split"] == "test")]
    seeds = tests["seed"].map({1: 0.3, 2: 0.0, 3: -0.3}) + tests["seed"].map({1: 0.001, 2: 0.0, 3: -0.001})
    near = tests.assign(**{"at.length": 32.0}, value=0.5 + tests["seed"].map({1: 0.3, 2: 0.0, 3: -0.3}))
    far = tests.assign(**{"at.length": 64.0}, value=0.52 + seeds)
    known["recall"] = replace(known["recall"], measurements=pd.concat([rows.drop(tests.index), near, far]))
    row = judged(claim, known).iloc[0]
    assert row["value"] == pytest.approx(0.02)
    assert row["verdict"] == "supported"
    assert row["high"] - row["low"] < 0.01


def test_the_greatest_length_is_that_of_each_task_whatever_fields_it_lacks():
    rows = pd.DataFrame(
        {
            "run": ["a", "a", "b", "b"],
            "task.name": ["parity", "parity", "words", "words"],
            "task.group": [None, None, "S3", "S3"],
            "at.length": [20.0, 40.0, 20.0, 256.0],
        }
    )
    assert list(selected(rows, {"at.length": "most"}).index) == [1, 3]
    assert list(selected(rows, {"at.length": "least"}).index) == [0, 2]


def test_the_test_meant_is_that_without_a_length_and_else_that_at_the_runs_own():
    rows = pd.DataFrame(
        {
            "task.length": 32.0,
            "at.split": ["test", "test", "test", "validation"],
            "at.length": [np.nan, 32.0, 64.0, np.nan],
        }
    )
    assert list(addressed(rows, set()).index) == [0]
    assert list(addressed(rows.iloc[1:3], set()).index) == [1]
    assert list(addressed(rows, {"at.length"}).index) == [0, 1, 2]


def test_a_predictor_without_a_network_has_no_error(made):
    text = FILE.format(id="a-claim", claimed="{above: 0}", preconditions="{}")
    text = text.replace("minus: [{network.mixer.name: attention}]", "minus: [{predictor: oracle}]")
    known = spread(made, 0.5, 0.8)
    row = judged(claims_of(text, "recall.yaml"), known).iloc[0]
    assert row["value"] == pytest.approx(-0.2)
    assert row["verdict"] == "refuted"
    half = (row["high"] - row["low"]) / 2
    assert half == pytest.approx(4.302653 * 0.05 / math.sqrt(3), rel=1e-5)


@pytest.mark.parametrize("against", ["network.mixer.name: attention", "predictor: oracle"])
def test_a_verdict_names_every_run_that_it_rests_on_and_no_other(made, against):
    text = FILE.format(id="a-claim", claimed="{above: 0}", preconditions="{}").replace(
        "minus: [{network.mixer.name: attention}]", f"minus: [{{{against}}}]"
    )
    known = spread(made, 0.5, 0.8)
    row = judged(claims_of(text, "recall.yaml"), known).iloc[0]
    runs = known["recall"].measurements.drop_duplicates("run")
    runs = runs[runs["task.pairs"] == 8]
    mine = (runs["role"] == "confirm") & (runs["network.mixer.key_dim"] == 16)
    name, _, value = against.partition(": ")
    other = runs["role"] == "reference" if name == "predictor" else runs[name].eq(value) & (runs["role"] == "confirm")
    assert row["runs"].split() == sorted(runs.loc[mine | other, "run"])
    assert 3 < len(row["runs"].split()) <= 6


@pytest.mark.slow
def test_chance_alone_is_called_evidence_in_at_most_five_of_a_hundred_suites(made):
    names = {"attention": 0.7, "mlstm": 0.7}
    claims = [
        claim
        for place, claimed in enumerate(["{above: 0}", "{below: 0}", "{above: 0}"])
        for claim in stated(id=f"claim-{place}", claimed=claimed)
    ]
    rng, suites, false = np.random.default_rng(7), 120, 0
    for _ in range(suites):
        known = tables(made, names, deviation=0.05, rng=rng)
        false += not {"supported", "refuted"}.isdisjoint(judged(claims, known)["verdict"])
    assert false / suites <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / suites)


def test_every_claim_of_the_files_is_well_made_and_in_the_table():
    claims = all_claims()
    rows = verdicts(claims, {}, archive={})
    assert list(rows["claim"]) == [claim.id for claim in claims]
    assert list(rows.columns) == list(COLUMNS)
    assert set(rows["verdict"]) == {"not evaluable"}
    assert {claim.experiment for claim in claims} - {""} <= set(experiment_names())


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (("claimed: {above: 0}", "claimed: {above: 0, below: 1}"), "name one of above, below, between"),
        (("claimed: {above: 0}", "claimed: {between: [1, 0]}"), "the first number must be below the second"),
        (("kind: contrast", "kind: contest"), "estimand"),
        (("metric: accuracy", "metrics: accuracy"), "metric"),
        (("scope: a test", "skope: a test"), "scope"),
    ],
)
def test_a_claim_that_is_ill_made_is_one_line_that_names_it(changed, told):
    text = FILE.format(id="a-claim", claimed="{above: 0}", preconditions="{}").replace(*changed)
    with pytest.raises(ValueError, match=r"recall\.yaml, a-claim") as error:
        claims_of(text, "recall.yaml")
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_claim_changed_after_its_runs_is_post_hoc(made, tmp_path):
    before = tuple(stated())
    stood = digests(before)
    known = spread(made, 0.5, 0.8)
    ran = known["recall"].measurements.assign(**{"provenance.claims": digest(stood)})
    known["recall"] = replace(known["recall"], measurements=ran)
    archive = {digest(stood): stood}
    assert verdicts(before, known, archive=archive)["registered"].iloc[0] == "before the runs"
    after = tuple(stated(claimed="{above: 0.1}"))
    assert verdicts(after, known, archive=archive)["registered"].iloc[0] == "post hoc"
    assert verdicts(before, known, archive={})["registered"].iloc[0] == "unknown"
    another = verdicts((*before, *stated(id="another")), known, archive=archive)
    assert list(another["registered"]) == ["before the runs", "post hoc"]


def test_what_was_claimed_is_kept_by_its_digest_and_an_edited_record_is_none(tmp_path):
    keep(tmp_path)
    found = kept(tmp_path)
    assert list(found.values()) == [digests(all_claims())]
    path = next((tmp_path / "claims").glob("*.json"))
    path.write_text(path.read_text().replace('": "', '": "f', 1))
    assert kept(tmp_path) == {}


@pytest.mark.parametrize(
    ("value", "region", "verdict"),
    [
        (0.0, {"between": (-0.1, 0.1)}, "supported"),
        (1.0, {"between": (-0.1, 0.1)}, "refuted"),
        (1e-5, {"below": 1e-3}, "supported"),
        (1e-3, {"below": 1e-3}, "refuted"),
        (2.0, {"above": 1.0}, "supported"),
        (1.0, {"above": 1.0}, "refuted"),
    ],
)
def test_an_exact_number_is_where_it_is(value, region, verdict):
    assert leaning(Estimate(value, 0.0, math.inf), Region(**region)) == (0.0, verdict)


SWEPT = (
    COST.replace("length: [16, 32, 64]", "length: [64, 128, 256, 512, 1024, 2048, 4096, 8192]")
    .replace("train_step", "forward")
    .replace("rounds: 1", "rounds: 3")
    .replace("samples: 5", "samples: 15")
)


@pytest.fixture(scope="module")
def profiled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("profiled")
    plan = plan_of(SWEPT, experiment="cost", scale="quick")
    leave_results(plan, folder)
    stored = read_plan(folder / "quick" / "cost" / "plan.json")
    rows = measurements(stored, runs=folder / "runs")
    found, taken = lines(estimates(rows)), samples(rows)
    return {"cost": Tables(stored, rows, laws(found, taken), crossovers(found, taken), NONE)}


def of_cost(estimand, claimed):
    said = f"id: a-claim, statement: A., source: a paper, scope: a test, estimand: {estimand}, claimed: {claimed}"
    return claims_of(f"{{family: cost, claims: [{{{said}}}]}}", "cost.yaml")


def exponents(cost, mixer, phase, part="whole"):
    where = f"{{phase: {phase}, network.mixer.name: {mixer}}}"
    return f"{{kind: exponent, experiment: cost, cost: {cost}, part: {part}, where: {where}}}"


def crossings(of, against):
    networks = f"of: {{network.mixer.name: {of}}}, against: {{network.mixer.name: {against}}}"
    return f"{{kind: crossing, experiment: cost, cost: seconds, where: {{phase: forward}}, {networks}}}"


@pytest.mark.parametrize(
    ("estimand", "claimed", "verdict"),
    [
        (exponents("seconds", "attention", "forward"), "{between: [1.9, 2.1]}", "supported"),
        (exponents("seconds", "attention", "forward", "last"), "{between: [0.5, 1.5]}", "refuted"),
        (exponents("seconds", "lstm", "forward"), "{between: [0.9, 1.1]}", "supported"),
        (exponents("seconds", "lstm", "forward"), "{below: 1.006}", "inconclusive"),
        (exponents("state_bytes", "attention", "decode"), "{between: [0.99, 1.01]}", "supported"),
        (exponents("state_bytes", "lstm", "decode"), "{between: [-0.01, 0.01]}", "supported"),
        (exponents("state_bytes", "lstm", "decode"), "{above: 0.5}", "refuted"),
        (exponents("seconds", "mamba", "forward"), "{above: 1}", "not evaluable"),
        (exponents("seconds", "lstm", "prefill"), "{above: 1}", "not evaluable"),
        (crossings("lstm", "attention"), "{below: 8192}", "supported"),
        (crossings("lstm", "attention"), "{below: 64}", "refuted"),
        (crossings("attention", "lstm"), "{below: 64}", "not evaluable"),
        ("{kind: largest, experiment: cost, metric: peak_bytes, where: {phase: decode}}", "{above: 1000}", "supported"),
        ("{kind: largest, experiment: cost, metric: peak_bytes, where: {phase: decode}}", "{below: 1000}", "refuted"),
        ("{kind: largest, experiment: cost, metric: beauty, where: {phase: decode}}", "{below: 1}", "not evaluable"),
        ("{kind: unmeasured, needs: patience}", "{above: 0}", "not evaluable"),
    ],
)
def test_costs_reach_every_verdict(profiled, estimand, claimed, verdict):
    row = judged(of_cost(estimand, claimed), profiled).iloc[0]
    assert row["verdict"] == verdict, row["sentence"]
    assert bool(row["reason"]) or verdict != "not evaluable"


@pytest.mark.parametrize(
    ("claimed", "verdict"),
    [("{below: 64}", "supported"), ("{below: 32}", "not evaluable"), ("{above: 64}", "refuted")],
)
def test_a_crossing_below_all_lengths_is_known_as_far_as_it_matters(profiled, claimed, verdict):
    known = profiled["cost"]
    rows = known.crossovers.assign(crossing=math.nan, less_before="LSTM", less_after="LSTM")
    changed = {"cost": replace(known, crossovers=rows)}
    row = judged(of_cost(crossings("lstm", "attention"), claimed), changed).iloc[0]
    assert row["verdict"] == verdict
    assert verdict == "not evaluable" or row["censored"] == "at most"


def test_lines_that_are_not_told_apart_are_not_judged(profiled):
    known = profiled["cost"]
    rows = known.crossovers.assign(crossing=math.nan, less_before="not told apart", less_after="not told apart")
    row = judged(of_cost(crossings("lstm", "attention"), "{below: 64}"), {"cost": replace(known, crossovers=rows)})
    assert row["reason"].iloc[0] == "what the two cost is not told apart"
