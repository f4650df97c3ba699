"""The controls that need no network: the oracle, and the best constant answer."""

import torch
from scipy import stats

from tasks.task import Batch, SyntheticTask, accuracy, most_frequent
from workflow.confirmations import FLOORS
from workflow.controls.evidence import ALARM, Evidence, Row, own
from workflow.statistics.means import holm
from workflow.statistics.shares import binomial
from workflow.styles import words


def oracle(evidence: Evidence) -> Row:
    """Returns whether the best possible predictor scores 1 on every task, at every point of its grid."""
    row = Row("oracle", "", "1, everywhere", "accuracy", "", against=1.0)
    asked = [id for id, run in evidence.references.items() if isinstance(run.task, SyntheticTask)]
    if not asked:
        return row._replace(reason="of real text and of series no best possible prediction is known")
    found = evidence.predicted(asked, ("oracle",))
    if missing := set(asked) - set(found["run"]):
        return row._replace(reason=f"{len(missing)} of {len(asked)} results are missing")
    lowest = found.loc[found["value"].idxmin()]
    name = words(str(lowest["task.name"]))
    place = f"{name}, the lowest of {len(found)} places" if len(found) > 1 else name
    return row._replace(place=place, value=lowest["value"], behaved="yes" if lowest["value"] == 1 else "no")


def constant(evidence: Evidence) -> Row:
    """Returns whether the most frequent answer is right in the test as often as it is counted in validation data.

    Told is the task where these differ most, with a p that is adjusted for the number of tasks.
    """
    asked = [id for id, run in evidence.references.items() if isinstance(run.task, SyntheticTask)]
    found = [_recounted(id, evidence) for id in asked]
    if not found:
        reason = "without an accuracy there are no labels to count"
        return Row("chance", "", "the share of the most frequent answer", "accuracy", "", reason=reason)
    if missing := [row for row in found if row.reason]:
        return missing[0]
    p = holm([row.p for row in found])
    least = p.index(min(p))
    place = f"{found[least].place}, the least alike of {len(found)}" if len(found) > 1 else found[least].place
    return found[least]._replace(place=place, p=p[least], behaved="yes" if p[least] >= ALARM else "no")


def _recounted(id: str, evidence: Evidence) -> Row:
    """Returns what the best constant answer was measured to score, against its share of the labels of validation data.

    By Fisher's exact test of as many trials as there are different examples: labels of one example may depend on each other, and
    where splits share no example, one that is drawn often is in one of them by a single chance.
    """
    task, examples = evidence.references[id].task, evidence.references[id].examples
    expected = f"the share of the most frequent answer, p at least {ALARM}"
    row = Row("chance", "", expected, "accuracy", words(task.name))
    measured = own(evidence.predicted([id], FLOORS))["value"]
    if measured.empty:
        return row._replace(reason="its result is missing")
    train, test, other = (task.batch(split, 0, examples) for split in ("train", "test", "validation"))
    answer = most_frequent(train, torch.zeros_like, 1)
    value, share = float(measured.iloc[0]), accuracy(answer(other.tokens_BT), other.targets_BT)
    counts = [(round(rate * trials), trials) for rate, trials in ((value, different(test)), (share, different(other)))]
    p = stats.fisher_exact([[right, trials - right] for right, trials in counts]).pvalue
    low, high = binomial(*counts[0], level=0.95)
    return row._replace(value=value, low=min(low, value), high=max(high, value), against=share, p=float(p))


def different(batch: Batch) -> int:
    """Returns how many examples that are all different tell as much (Kish 1965), at least 1."""
    _, counts = batch.tokens_BT.unique(dim=0, return_counts=True)
    return round(len(batch.tokens_BT) ** 2 / counts.square().sum().item())
