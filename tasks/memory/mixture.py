"""Recall at several lengths and loads at once: does a model recall more than it was trained on?"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, ValidationError, model_validator
from torch import Tensor

from tasks.memory.recall import Recall
from tasks.task import Batch, Predictor, SyntheticTask


class Setting(NamedTuple):
    length: int
    pairs: int
    weight: Annotated[float, Field(gt=0)]  # how often, beside the other settings


class RecallMixture(SyntheticTask):
    """`recall` at several settings: every batch is of one, drawn by weight; a mixture of one setting is `recall` itself.

        settings (12, 2, 3) and (8, 2, 1), vocabulary 9, fillers 1: three batches in four are like this

        tokens     3 8   1 6   0 0   3 0   1 0   0 0
        targets    . .   . .   . .   8 .   6 .   . .

        and one like this

        tokens     2 5   4 8   4 0   2 0
        targets    . .   . .   8 .   5 .

    Zoology trains on such a mixture in `mqar_configs_random_false`, posed exactly with fillers 1, and in
    `original_mqar_configs` and Based's figure 2 (Arora et al. 2024, arXiv:2402.18668). Those two fill with any token,
    keys and values too, where fillers here are reserved tokens, so they are posed similarly, not identically. Zoology
    goes through its settings in order, in every epoch; here a batch's address decides.
    """

    name: Literal["recall-mixture"]
    settings: Annotated[tuple[Setting, ...], Field(min_length=1)]
    vocabulary: int
    fillers: Annotated[int, Field(ge=1)]
    power: Annotated[float, Field(gt=0)]

    @model_validator(mode="after")
    def _feasible(self) -> Self:
        for setting in self.settings:
            try:
                self._recall(setting)
            except ValidationError as error:
                problem = error.errors()[0]
                reason = ": ".join([*map(str, problem["loc"]), problem["msg"].removeprefix("Value error, ")])
                raise ValueError(
                    f"the setting of length {setting.length} and pairs {setting.pairs} is infeasible: {reason}"
                ) from None
        return self

    @property
    def vocabulary_size(self) -> int:
        return self.vocabulary

    def _recall(self, setting: Setting) -> Recall:
        return Recall(
            name="recall",
            length=setting.length,
            vocabulary=self.vocabulary,
            pairs=setting.pairs,
            fillers=self.fillers,
            power=self.power,
        )

    def draw(self, rng: np.random.Generator, size: int) -> Batch:
        return self._recall(self._drawn(rng)).draw(rng, size)

    def _drawn(self, rng: np.random.Generator) -> Setting:
        if len(self.settings) == 1:
            return self.settings[0]
        end_N = np.cumsum([setting.weight for setting in self.settings])
        return self.settings[np.searchsorted(end_N, rng.random() * end_N[-1], side="right")]

    def at(self, point: Mapping[str, Any]) -> Self:
        """Returns the mixture with other fields; `length` and `pairs` leave one setting.

        Without `pairs` it is the one of that length, or length // 4, as many as it holds, where none is of that length.
        """
        fields = dict(point)
        length, pairs = fields.pop("length", None), fields.pop("pairs", None)
        if length is not None or pairs is not None:
            fields["settings"] = (self._single(length, pairs),)
        return super().at(fields)

    def _single(self, length: int | None, pairs: int | None) -> Setting:
        if length is None:
            lengths = sorted({setting.length for setting in self.settings})
            if len(lengths) > 1:
                raise ValueError(f"settings are of the lengths {lengths}: name one beside pairs {pairs}")
            length = lengths[0]
        if pairs is None:
            trained = sorted({setting.pairs for setting in self.settings if setting.length == length})
            if len(trained) > 1:
                raise ValueError(f"settings of length {length} have pairs {trained}: name one beside length")
            pairs = trained[0] if trained else length // 4
        return Setting(length, pairs, 1.0)

    def predictors(self, sample: Batch) -> dict[str, Predictor]:
        """Those of `recall`, fitted to every setting on as many examples as the sample has."""
        recalls = {setting[:2]: self._recall(setting) for setting in self.settings}
        fitted = {at: task.predictors(task.batch("train", 0, len(sample.tokens_BT))) for at, task in recalls.items()}
        first_value = self.fillers + (self.vocabulary - self.fillers) // 2

        def of(name: str) -> Predictor:
            def predict(tokens_BT: Tensor) -> Tensor:
                pairs = int((tokens_BT[0] >= first_value).sum())  # a value is read once, in the context
                return fitted[tokens_BT.shape[1], pairs][name](tokens_BT)

            return predict

        return {name: of(name) for name in next(iter(fitted.values()))}

    def references(self, size: int) -> dict[str, float]:
        """Returns the accuracy of `recall`'s predictors on `size` examples of every setting, as the labels weigh them."""
        labels = [setting.weight * setting.pairs for setting in self.settings]
        scores = [self._recall(setting).references(size) for setting in self.settings]
        return {
            name: sum(label * score[name] for label, score in zip(labels, scores, strict=True)) / sum(labels)
            for name in scores[0]
        }
