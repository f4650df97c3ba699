"""The 66 settings of MAD's benchmark (`configs/tasks/*.yml`): a baseline of each task, and one change of it at a time."""

from tasks.mad.compression import Compression
from tasks.mad.fuzzy_recall import FuzzyRecall
from tasks.mad.in_context_recall import InContextRecall
from tasks.mad.memorization import Memorization
from tasks.mad.noisy_recall import NoisyRecall
from tasks.mad.pool import PooledTask
from tasks.mad.selective_copying import MadSelectiveCopying

_RECALL = {"length": 128, "labels": "all", "examples": 12_800}

_BASELINES: dict[str, PooledTask] = {
    "in-context-recall": InContextRecall(name="mad-in-context-recall", vocabulary=16, **_RECALL),
    "noisy-recall": NoisyRecall(name="mad-noisy-recall", vocabulary=32, noise_tokens=16, noise_fraction=0.2, **_RECALL),
    "fuzzy-recall": FuzzyRecall(name="mad-fuzzy-recall", vocabulary=16, longest_key=3, longest_value=3, **_RECALL),
    "selective-copying": MadSelectiveCopying(
        name="mad-selective-copying", length=256, vocabulary=16, tokens_to_copy=16, examples=12_800
    ),
    "compression": Compression(name="mad-compression", length=32, vocabulary=16, examples=12_800),
    "memorization": Memorization(name="mad-memorization", length=32, vocabulary=256, examples=256),
}

_VOCABULARY, _LENGTH, _EXAMPLES = (32, 64, 128), (256, 512, 1024), (6400, 3200, 1600, 800)

_CHANGES: dict[str, dict[str, tuple[int | float, ...]]] = {
    "in-context-recall": {"vocabulary": _VOCABULARY, "length": _LENGTH, "examples": _EXAMPLES},
    "noisy-recall": {
        "vocabulary": (48, 80, 144),  # 16 of them noise
        "length": _LENGTH,
        "examples": _EXAMPLES,
        "noise_fraction": (0.4, 0.6, 0.8),
    },
    "fuzzy-recall": {"vocabulary": _VOCABULARY, "length": _LENGTH, "examples": _EXAMPLES},
    "selective-copying": {
        "vocabulary": _VOCABULARY,
        "length": (512, 1024),
        "examples": _EXAMPLES,
        "tokens_to_copy": (32, 64, 96),
    },
    "compression": {"vocabulary": _VOCABULARY, "length": (64, 128, 256), "examples": _EXAMPLES},
    "memorization": {"vocabulary": (512, 1024, 2048, 4096, 8192)},
}

PRESETS: dict[str, PooledTask] = {f"mad/{name}/baseline": task for name, task in _BASELINES.items()} | {
    f"mad/{name}/{field.replace('_', '-')}-{value}": _BASELINES[name].at({field: value})
    for name, changes in _CHANGES.items()
    for field, values in changes.items()
    for value in values
}
