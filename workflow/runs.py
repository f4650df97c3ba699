"""A run: everything that decides a result and nothing else. No path, no host, no date."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from models.network import NetworkSpec
from tasks import AnyTask
from tasks.documents.attribution import DocumentAttribution
from tasks.documents.task import DocumentTask
from tasks.language.modeling import LanguageModeling
from tasks.task import TokenTask
from workflow.grids import points
from workflow.spec import Spec


def _is_absent(value: object) -> bool:
    return value is None


class Selected(Spec):
    """A learning rate still to be found: the one in this `place`, 0 the best, among these tuning runs (`workflow.selection`).

    Where it is said, so many `times` that rate.
    """

    best_of: tuple[str, ...] = Field(min_length=1)
    place: int = Field(ge=0)
    times: Annotated[float, Field(gt=0)] | None = Field(default=None, exclude_if=_is_absent)


class OptimizerSpec(Spec):
    """AdamW with linear warm-up and a cosine to `final_rate` times the peak; the gradient's norm is clipped.

    Training ends after `until` of the `steps` of that schedule (null: all).
    """

    learning_rate: Annotated[float, Field(gt=0)] | Selected
    final_rate: float = Field(ge=0, le=1)
    warmup_steps: int = Field(ge=0)
    steps: int = Field(gt=0)
    until: Annotated[int, Field(gt=0)] | None
    batch_size: int = Field(gt=0)
    weight_decay: float = Field(ge=0)
    beta2: float = Field(gt=0, lt=1)
    gradient_clip: float = Field(gt=0)

    @model_validator(mode="after")
    def _warmup_fits(self) -> Self:
        if self.warmup_steps >= self.steps:
            raise ValueError(f"warmup_steps={self.warmup_steps} must be below steps={self.steps}")
        if self.until is not None and self.until > self.steps:
            raise ValueError(f"until={self.until} is beyond the schedule's steps={self.steps}")
        return self

    @property
    def last_step(self) -> int:
        """The number of steps after which training ends."""
        return self.steps if self.until is None else self.until


Grid = dict[str, tuple[Any, ...]]


class EvaluationSpec(Spec):
    """When and on how much a network is scored; `stop_accuracy` on validation ends training early (null: never).

    `grid` has the points, of fields of the task or its length, at which the network is tested beside the task it was
    trained on. `piece` is how many tokens of a sequence are read at once, the state being carried on (null: all).
    """

    every_steps: int = Field(gt=0)
    batches: int = Field(gt=0)
    stop_accuracy: Annotated[float, Field(gt=0, le=1)] | None
    piece: Annotated[int, Field(gt=0)] | None
    grid: Grid

    @property
    def points(self) -> list[dict[str, Any]]:
        """The points of the grid, none where it has no axis."""
        return list(points(self.grid)) if self.grid else []


Precision = Literal["float32", "bfloat16"]


class ExecutionSpec(Spec):
    """How a step is computed, the same for all that are compared; none of it changes what is computed but for rounding.

    `compile` hands the loss to `torch.compile`. `recompute` keeps of each block only its input for the gradient, and computes
    the rest again. `micro_batch` is how many sequences are computed at once, a step's gradient being their sum (null: all).
    """

    compile: bool
    recompute: bool
    micro_batch: Annotated[int, Field(gt=0)] | None


class Pretraining(Spec):
    """What a network learns first, for `steps` (0: nothing), with the run's optimizer but for what is stated here.

    Of what it has learnt the run begins with the trunk: the blocks, the last norm, and the embedding of the bytes, so both
    tasks must read bytes. The head is drawn anew. `learning_rate` is null where there are no steps.
    """

    task: AnyTask
    steps: int = Field(ge=0)
    warmup_steps: int = Field(ge=0)
    batch_size: int = Field(gt=0)
    learning_rate: Annotated[float, Field(gt=0)] | Selected | None

    @model_validator(mode="after")
    def _is_of_use(self) -> Self:
        if (self.learning_rate is None) != (self.steps == 0):
            raise ValueError(
                f"pretraining.learning_rate={self.learning_rate} with steps={self.steps}: null for no steps, else a rate"
            )
        return self


class TrainingRun(Spec):
    """Trains one network on one task from one seed, after its pretraining if it has one, and tests it once."""

    kind: Literal["training"]
    task: AnyTask
    network: NetworkSpec
    optimizer: OptimizerSpec
    evaluation: EvaluationSpec
    precision: Precision
    execution: ExecutionSpec
    seed: int = Field(ge=0, lt=2**31)
    pretraining: Pretraining | None = Field(default=None, exclude_if=_is_absent)

    @property
    def chosen_from(self) -> list[str]:
        """The names of the tuning runs by which its learning rates are chosen, sorted."""
        rates = [self.optimizer.learning_rate, self.pretraining and self.pretraining.learning_rate]
        return sorted({id for rate in rates if isinstance(rate, Selected) for id in rate.best_of})

    @property
    def before(self) -> "TrainingRun | None":
        """The pretraining as a run of its own, from the same seed; None where there is none."""
        first = self.pretraining
        if first is None or first.learning_rate is None:
            return None
        own = {"steps": first.steps, "warmup_steps": first.warmup_steps, "batch_size": first.batch_size}
        alone = {"stop_accuracy": None, "piece": None, "grid": {}}
        return TrainingRun.model_validate(
            self.model_dump()
            | {
                "task": first.task.model_dump(),
                "optimizer": self.optimizer.model_dump() | own | {"learning_rate": first.learning_rate, "until": None},
                "evaluation": self.evaluation.model_dump() | alone,
                "pretraining": None,
            }
        )

    @model_validator(mode="after")
    def _stops_by_what_is_scored(self) -> Self:
        if self.evaluation.stop_accuracy is not None and self.task.score != "accuracy":
            raise ValueError(
                f"evaluation.stop_accuracy needs a task scored by accuracy; set it to null for {self.task.name}"
            )
        if self.evaluation.piece is not None and isinstance(self.task, TokenTask) and self.task.bottleneck:
            raise ValueError(f"{self.task.name} is told from the last position alone: set evaluation.piece to null")
        if self.optimizer.last_step % self.evaluation.every_steps and self.optimizer.until is not None:
            raise ValueError(
                f"optimizer.until={self.optimizer.until} is no multiple of evaluation.every_steps="
                f"{self.evaluation.every_steps}: training ends at an evaluation that the whole would make too"
            )
        micro = self.execution.micro_batch
        if micro is not None and self.optimizer.batch_size % micro:
            raise ValueError(
                f"execution.micro_batch={micro} does not divide optimizer.batch_size={self.optimizer.batch_size}"
            )
        return self

    @model_validator(mode="after")
    def _begins_with_what_fits(self) -> Self:
        if self.pretraining is None:
            return self
        first = self.pretraining.task
        if not _reads_bytes(first) or not _reads_bytes(self.task):
            raise ValueError(
                f"pretraining on {first.name} for {self.task.name}: both must read bytes, as language-modeling with the "
                "tokenizer bytes and the tasks on documents do"
            )
        if isinstance(self.task, DocumentAttribution) != isinstance(first, DocumentAttribution):
            raise ValueError(
                f"pretraining on {first.name} for {self.task.name}: document-attribution splits the documents in a way of "
                "its own, so one would be trained on what the other is tested on; choose document-matching or text-needle"
            )
        if self.before is not None and self.optimizer.until is not None:
            raise ValueError("pretraining: a run that has one is trained to its end, so tune without halving")
        return self


def _reads_bytes(task: AnyTask) -> bool:
    return isinstance(task, DocumentTask) or (isinstance(task, LanguageModeling) and task.tokenizer.name == "bytes")


class ProfilingRun(Spec):
    """Measures what one phase costs at one length: of a whole network, or of its mixer alone.

    `samples` are taken in so many `rounds`, each in a process of its own after `warmup` calls; within a round, runs that differ
    in the network only take turns. Once a round's share of `budget_seconds` is spent, so many samples are enough that there
    are three in all. A point that takes more than `timeout_seconds` in all is given up. `new_tokens` is how many `generate`
    writes after `length` (null in any other phase). `compile` hands what is called to `torch.compile`. The phase `stream` reads
    `length` tokens one by one, once, and in pieces beside: rounds, samples and budget are not for it.
    """

    kind: Literal["profiling"]
    phase: Literal["train_step", "forward", "prefill", "decode", "generate", "stream"]
    subject: Literal["network", "mixer"]
    network: NetworkSpec
    vocabulary: int = Field(gt=1)
    batch: int = Field(gt=0)
    length: int = Field(gt=0)
    new_tokens: Annotated[int, Field(gt=0)] | None
    precision: Precision
    compile: bool
    rounds: int = Field(ge=1)
    warmup: int = Field(ge=1)
    samples: int = Field(ge=3)
    budget_seconds: float = Field(gt=0)
    timeout_seconds: float = Field(gt=0)

    @model_validator(mode="after")
    def _can_be_called(self) -> Self:
        if (self.new_tokens is None) == (self.phase == "generate"):
            raise ValueError(f"new_tokens={self.new_tokens} in phase {self.phase}: generate needs it, all others null")
        if self.subject == "mixer" and self.network.block != "shared":
            raise ValueError(
                "a native block is more than its mixer: set subject to network, or network.block to shared"
            )
        if self.phase == "stream" and (self.subject == "mixer" or self.compile or self.length < 64):
            raise ValueError("phase stream needs subject network, compile false and a length of 64 at least")
        return self


class ReferenceRun(Spec):
    """Scores the predictors that need no network, a task's floors and its ceiling, at every point of the grid too."""

    kind: Literal["reference"]
    task: AnyTask
    examples: int = Field(gt=0)
    grid: Grid


Run = TrainingRun | ProfilingRun | ReferenceRun


class RunFile(Spec):
    """A `run.json`: the run and nothing else."""

    run: Run = Field(discriminator="kind")
