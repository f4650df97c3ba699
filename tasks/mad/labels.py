"""What MAD's tasks of recall share: they train on all next tokens and test the values of keys seen before."""

from abc import abstractmethod
from typing import Literal

import numpy as np
from torch import Tensor

from tasks.mad.pool import PooledTask
from tasks.task import Batch, Predictor

Labels = Literal["all", "seen"]


class RecallTask(PooledTask):
    """A task of recall, whose training labels are `all`, the next token everywhere, or `seen`, as in validation and test:
    the values of keys that the context has shown already.

    MAD trains on `all`, of which a good part is noise: nothing tells which key comes next.
    """

    labels: Labels

    @abstractmethod
    def draw_labelled(self, rng: np.random.Generator, size: int, *, labels: Labels, tested: bool) -> Batch:
        """Returns `size` fresh examples with these labels, of the tested distribution or of that of training."""

    def draw(self, rng: np.random.Generator, size: int) -> Batch:
        return self.draw_labelled(rng, size, labels=self.labels, tested=False)

    def draw_tested(self, rng: np.random.Generator, size: int) -> Batch:
        return self.draw_labelled(rng, size, labels="seen", tested=True)

    def references(self, size: int) -> dict[str, float]:
        """Returns the accuracy of the predictors, fitted on what is tested, and not on all next tokens."""
        if self.labels != "seen":
            return self.at({"labels": "seen"}).references(size)
        return super().references(size)


def first_of_each(names_BN: np.ndarray, eligible_BN: np.ndarray) -> np.ndarray:
    """Returns places_BN: where in its row the first eligible one of the same name is; anywhere if none is."""
    keys_BN = 2 * names_BN + ~eligible_BN
    order_BN = keys_BN.argsort(axis=1, kind="stable")
    sorted_BN = np.take_along_axis(keys_BN, order_BN, axis=1) >> 1
    opens_BN = np.ones_like(eligible_BN)
    opens_BN[:, 1:] = sorted_BN[:, 1:] != sorted_BN[:, :-1]
    opening_BN = np.maximum.accumulate(np.where(opens_BN, np.arange(names_BN.shape[1]), 0), axis=1)
    places_BN = np.empty_like(order_BN)
    np.put_along_axis(places_BN, order_BN, np.take_along_axis(order_BN, opening_BN, axis=1), axis=1)
    return places_BN


def common_value(first: int, end: int) -> Predictor:
    """Returns what answers with the token of [first, end) read most often so far, whatever is asked."""

    def predict(tokens_BT: Tensor) -> Tensor:
        best_BT = tokens_BT.new_full(tokens_BT.shape, first)
        most_BT = (tokens_BT == first).cumsum(1)
        for value in range(first + 1, end):
            count_BT = (tokens_BT == value).cumsum(1)
            best_BT = best_BT.masked_fill(count_BT > most_BT, value)
            most_BT = most_BT.maximum(count_BT)
        return best_BT

    return predict
